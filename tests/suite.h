/*
 * suite.h - what every unit test includes: its main function (run the suite, say how it went)
 *
 * And quick assertions: Check writes a line into a file for each one that holds, to tell where a
 * test was when it crashed. In loops over samples that was most of the time of make check; where
 * a crash was, a sanitizer or a core says better.
 */
#ifndef SHOAL_TEST_SUITE_H
#define SHOAL_TEST_SUITE_H

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>

#define _mark_point(file, line) ((void)0)

/*
 * The exit status; a suite that ran nothing has failed, too. CK_VERBOSITY says how much is printed.
 * Takes the suite.
 */
static inline int suite_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    bool good;

    srunner_run_all(runner, CK_ENV);
    good = srunner_ntests_run(runner) > 0 && srunner_ntests_failed(runner) == 0;
    srunner_free(runner);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
