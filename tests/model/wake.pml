/* The protocol as dispatcher/store/lua and its callers do it; docs/model.md says how the two correspond.
   python -m tests.model.check compiles this with the sizes of one configuration after the other. */
#include "names.pml"
#include "mailbox.pml"
#include "lease.pml"
#include "parties.pml"
#include "clock.pml"
#include "inbox.pml"

init {
  byte i;
  atomic {
    for (i : 1 .. NW) {
      run Worker(i);
      run Connection(i)
    }
#ifndef NO_INBOX
    for (i : 0 .. NR - 1) {
      run Router(i)
    }
#endif
    for (i : 0 .. M - 1) {
      run Trouble(i);
#ifndef ALL_AT_ONCE
      run BoxClock(i)
#endif
    }
#ifndef ALL_AT_ONCE
    for (i : 0 .. T - 1) {
      run TargetClock(i)
    }
#endif
    i = 0
  }
}

#ifdef ALL_AT_ONCE
ltl served { <> (finished == ALL) }
#else
/* When nobody can do anything more, everything is done. */
active proctype Stillness() {
  do
  :: timeout ->
    holds(P_LOST, finished == accepted && finished == deposited);
    break
  od
}
#endif
