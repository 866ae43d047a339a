/* check_integration.c - shoald and its clients over real sockets: see integration.h */
#include "integration.h"

#include <signal.h>
#include <stdio.h>

int main(void)
{
    Suite *s = suite_create("integration");
    SRunner *r = srunner_create(s);
    int failed;

    signal(SIGPIPE, SIG_IGN);
    suite_add_tcase(s, streams_case());
    suite_add_tcase(s, taps_case());
    suite_add_tcase(s, detector_case());
    suite_add_tcase(s, activity_case());
    suite_add_tcase(s, decoder_case());
    suite_add_tcase(s, wire_case());
    suite_add_tcase(s, robust_case());
    suite_add_tcase(s, lifecycle_case());
    suite_add_tcase(s, overload_case());
    suite_add_tcase(s, admission_case());
    suite_add_tcase(s, migration_case());
    suite_add_tcase(s, prices_case());
    suite_add_tcase(s, program_case());
    suite_add_tcase(s, start_case());
    suite_add_tcase(s, shoal_file_case());
    suite_add_tcase(s, shoal_file_slow_case());
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    if (shared_failures)
        fprintf(stderr, "%d daemons did not end well\n", shared_failures);
    return failed || shared_failures;
}
