/* suite.h - the main function of a unit test: run its suite, say how it went */
#ifndef SHOAL_TEST_SUITE_H
#define SHOAL_TEST_SUITE_H

#include <check.h>
#include <stdlib.h>

/* The exit status. CK_VERBOSITY says how much is printed. Takes the suite. */
static inline int suite_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
