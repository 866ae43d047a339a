#!/bin/sh
# check_emulated.sh - kernels and products of the levels above AVX2 against scalar ones, the
# definition and PyTorch, on a CPU that is emulated (tests/emulated/)

tests=$TOP_BUILDDIR/tests/emulated
[ -x "$tests/check_gemm" ] || { echo "not built: no SIMDe (libsimde-dev), or not for x86"; exit 77; }
grep -q '^flags.* avx2' /proc/cpuinfo || { echo "not run: emulation needs a CPU with AVX2"; exit 77; }

status=0
# as CPU TEST...
as() {
    EMULATED_CPU=$1
    export EMULATED_CPU
    shift
    for test in "$@"; do
        echo "as $EMULATED_CPU: $test"
        sh "$SRCDIR/tests/run-test" "$tests/check_$test" || status=1
    done
}

as skylake-x kern kern_attend attend gemm_choice gemm gemm_int8 golden
as zen4 gemm_choice gemm gemm_int8
as alderlake gemm_choice gemm gemm_int8
exit $status
