/* main.c - shoald: command line -> server; everything else is in libshoald, for tests to link */
#include "base/options.h"
#include "base/process.h"
#include "net/decode.h"
#include "server.h"

#include <string.h>

int main(int argc, char **argv)
{
    static shoald_options options;
    if (argc == 2 && strcmp(argv[1], SHOALD_DECODE_ARGUMENT) == 0)
        return shoald_decode_main();
    shoald_process_prepare();
    int status = shoald_options_parse(&options, argc, argv);
    return shoald_process_finish_output(status >= 0 ? status : shoald_server_run(&options));
}
