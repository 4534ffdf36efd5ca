// Package journal reads the files of systemd's journal without systemd: forwards from a cursor, as
// one follows a log, and backwards from the end, as one asks for the last lines of a unit. It knows
// files as systemd 186 and later write them (XZ, LZ4 and Zstandard, keyed hashes, compact), and
// refuses what it does not know.
//
// Files are read with pread and never mapped: a mapped journal that is cut short under its reader
// kills the process with SIGBUS. What a file says about itself is believed nowhere: every offset is
// checked against the file's length, and every chain must go in one direction, so that a file of
// rubbish costs an error. Format: https://systemd.io/JOURNAL_FILE_FORMAT/ and journal-def.h.
package journal
