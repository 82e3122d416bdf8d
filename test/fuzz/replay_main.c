/* Gives a fuzzer every file of the directories named on the command line, in the order of their names: what libFuzzer
 * once found stays found, in every test run and under every sanitizer, without libFuzzer.
 *
 * Prints how many inputs it ran. An empty or missing directory is a failure: a corpus that was lost must not pass. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int is_visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

/* The input lies in a block of exactly its size, so that a sanitizer sees one byte read too many. */
static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    int rc = -1;
    uint8_t *data = NULL;
    if (fseek(f, 0, SEEK_END) != 0)
        goto out;
    long size = ftell(f);
    if (size < 0 || fseek(f, 0, SEEK_SET) != 0)
        goto out;
    data = malloc((size_t)size);
    if ((data == NULL && size > 0) || fread(data, 1, (size_t)size, f) != (size_t)size)
        goto out;
    LLVMFuzzerTestOneInput(data, (size_t)size);
    rc = 0;
out:
    if (rc != 0)
        fprintf(stderr, "%s: cannot be read\n", path);
    free(data);
    fclose(f);
    return rc;
}

/* The number of inputs, or -1. */
static int replay_directory(const char *dir)
{
    struct dirent **entries;
    int n = scandir(dir, &entries, is_visible, alphasort);
    if (n < 0) {
        fprintf(stderr, "%s: %s\n", dir, strerror(errno));
        return -1;
    }
    int failed = 0;
    for (int i = 0; i < n; i++) {
        char path[4096];
        int len = snprintf(path, sizeof path, "%s/%s", dir, entries[i]->d_name);
        /* Named before it runs: after a crash the last line tells which input it was. */
        printf("%s\n", entries[i]->d_name);
        fflush(stdout);
        if (len < 0 || (size_t)len >= sizeof path || replay_file(path) != 0)
            failed = 1;
        free(entries[i]);
    }
    free(entries);
    return failed ? -1 : n;
}

int main(int argc, char **argv)
{
    int rc = argc < 2 ? 1 : 0;
    for (int i = 1; i < argc; i++) {
        int n = replay_directory(argv[i]);
        if (n == 0)
            fprintf(stderr, "%s: no inputs\n", argv[i]);
        if (n <= 0)
            rc = 1;
        printf("%s: %d inputs replayed\n", argv[i], n > 0 ? n : 0);
    }
    return rc;
}
