#!/bin/sh
# check_client_example.sh - the program in shoal-client.h is clients/lib/example.c, which make builds
# and integration/ runs; a comment cannot hold a comment, so there they are written //
header=$SRCDIR/clients/lib/shoal-client.h example=$SRCDIR/clients/lib/example.c

in_header=$(sed -n '/#include <stdio.h>/,/^ \* Threads\./p' "$header" |
    sed -e '$d' -e 's|^ \*     ||' -e 's|^ \*$||')
in_file=$(sed -e 's|/\*|//|g' -e 's| \*/||g' "$example")
[ -n "$in_file" ] && [ "$in_header" = "$in_file" ] && exit 0
echo "the example in shoal-client.h is not clients/lib/example.c:"
printf '%s\n' "$in_header" > example-header.tmp
printf '%s\n' "$in_file" | diff example-header.tmp -
rm -f example-header.tmp
exit 1
