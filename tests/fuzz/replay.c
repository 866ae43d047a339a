/* replay.c - main() of a fuzz target that is built without libFuzzer: feed it files
 *
 * Arguments are files, or directories whose files are taken. Linked into every target
 * unless --enable-fuzzer, where libFuzzer brings its own main().
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef SHOAL_FUZZ_REPLAY

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    long size = -1;
    if (f && fseek(f, 0, SEEK_END) == 0)
        size = ftell(f);
    uint8_t *data = size >= 0 ? malloc((size_t)size + !size) : NULL; /* exact, for ASan */
    int ok = data && fseek(f, 0, SEEK_SET) == 0 && fread(data, 1, (size_t)size, f) == (size_t)size;
    if (ok)
        LLVMFuzzerTestOneInput(data, (size_t)size);
    else
        fprintf(stderr, "cannot read %s\n", path);
    free(data);
    if (f)
        fclose(f);
    return ok ? 0 : -1;
}

static int replay(const char *path)
{
    DIR *dir = opendir(path);
    char name[4096];
    int rc = 0;
    if (!dir)
        return replay_file(path);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        rc |= replay_file(name);
    }
    closedir(dir);
    return rc;
}

int main(int argc, char **argv)
{
    int rc = 0;
    for (int i = 1; i < argc; i++)
        rc |= replay(argv[i]);
    return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
