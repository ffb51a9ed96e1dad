/// Signals as bytes of a pipe.
#ifndef CSYSTEM_SIGNALS_H
#define CSYSTEM_SIGNALS_H

/// From now on each arrival of `number` puts one byte, the number, into the pipe, whichever thread
/// the system picks for it. Returns the end to read from (the same for all signals; never closed),
/// or -1 with errno. Not to be called by two threads at once.
int csystem_signal_to_pipe(int number);

/// Whether `number` is ignored now, as by whoever started us (nohup).
int csystem_signal_is_ignored(int number);

#endif
