# completion.bash - options of shoal's programs in bash, as their --help tells them

_shoal() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} words=
    COMPREPLY=()
    case $before in
    --output) words='text jsonl npy kaldi textgrid labels ctm' ;;
    --outputs) words='phones posteriors embedding hidden mel activity' ;;
    --lm | --durations | --smooth | --tentative) words='on off' ;;
    --pool) words='none utterance' ;;
    --precision) words='fp32 bf16 int8' ;;
    --depth | --depths) words='3 6 12 3-12' ;;
    --chunk-ms) words='80 160 320 640' ;;
    --format | --raw) words='s16le f32le mulaw alaw' ;;
    --channel) words='left right mix each' ;;
    --encoding) words='f16 f32' ;;
    --model | --program) return ;; # the server knows: /v1/models
    --out-dir) mapfile -t COMPREPLY < <(compgen -d -- "$word") && return ;;
    *)
        [[ $word == -* ]] && words=$("$1" --help all 2>/dev/null | grep -oE -- '--[a-z][a-z-]+' | sort -u)
        ;;
    esac
    [ -z "$words" ] || mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -o default -o bashdefault -F _shoal shoal-file shoal-load shoal-mic shoal-tune
