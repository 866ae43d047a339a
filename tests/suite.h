/* suite.h - the main function of a unit test: run its suite, say how it went */
#ifndef SHOAL_TEST_SUITE_H
#define SHOAL_TEST_SUITE_H

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>

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
