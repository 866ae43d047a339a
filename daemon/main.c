/* main.c - shoald: command line -> server; everything else is in libshoald, for tests to link */
#include "base/options.h"
#include "base/process.h"
#include "server.h"

int main(int argc, char **argv)
{
    static shoald_options options;
    shoald_process_prepare();
    int status = shoald_options_parse(&options, argc, argv);
    return status >= 0 ? status : shoald_server_run(&options);
}
