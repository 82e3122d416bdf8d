/* tempdir.h - one temporary directory with plain files in it. */
#ifndef DEMO_TEMPDIR_H
#define DEMO_TEMPDIR_H

#include <stddef.h>

int tempdir_make(char *path, size_t cap); /* under $TMPDIR or /tmp; 0 or -1 */
void tempdir_remove(const char *path);    /* and the files in it */

#endif
