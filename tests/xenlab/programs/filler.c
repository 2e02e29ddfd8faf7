// SPDX-License-Identifier: MIT
/*
 * filler FOLDER MOST: makes xenstore nodes below FOLDER, fifty to a folder, until the daemon refuses or MOST are there; prints how
 * many it made (folders count too) and why it stopped. One connection, no transaction.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

enum { kPerFolder = 50 };

int main(int argc, char **argv)
{
	struct xs_handle *store = xs_open(0);
	char path[256];
	int made = 0;

	if (argc != 3 || !store)
		return 2;
	for (int most = atoi(argv[2]), next = 0; made < most; next++) {
		snprintf(path, sizeof(path), "%s/d%d/n%d", argv[1], next / kPerFolder, next % kPerFolder);
		if (!xs_write(store, XBT_NULL, path, "x", 1))
			break;
		made += 1 + (next % kPerFolder == 0);
	}
	printf("%d %s\n", made, strerror(errno));
	return 0;
}
