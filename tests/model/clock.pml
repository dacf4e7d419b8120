/* Time. What lies ahead comes, one thing after another in any order; a pause beyond a deadline is a fault. */
#define LAPSED(m) (box[m].holder != 0 && box[m].live && box[m].holder > NW)

inline ripen(m) {
  if
  :: box[m].due == LATER && FREE_DUE(m) == NOW -> box[m].due = NOW
  :: else
  fi
}

/* The lease of a live holder ends. Its worker stopped trusting it before (28 s of 30 s), and its reaper killed the runner. */
inline outlive(m) {
  atomic {
    faults > 0 && box[m].holder != 0 && box[m].holder <= NW && box[m].live ->
    faults--;
    if
    :: works[box[m].holder] -> works[box[m].holder] = 0; runners[(m) / NH]--
    :: else
    fi;
    box[m].live = 0
  }
}

#ifdef BROKEN_BELL
#define BELL_ENDS(m) 0
#else
#define BELL_ENDS(m) box[m].bell
#endif

/* For liveness: all that lies ahead comes at once, so that no thing can be put off for ever by another. */
#ifdef ALL_AT_ONCE
#define AHEAD(t) (tg[t].ahead || tg[t].backoff || tg[t].block)
#if T == 2
#define ANY_AHEAD (AHEAD(0) || AHEAD(1))
#else
#define ANY_AHEAD AHEAD(0)
#endif
#if M == 2
#define ANY_TIME (ANY_AHEAD || BELL_ENDS(0) || BELL_ENDS(1) || LAPSED(0) || LAPSED(1))
#else
#define ANY_TIME (ANY_AHEAD || BELL_ENDS(0) || LAPSED(0))
#endif
active proctype Clock() {
  byte i;
end:
  do
  :: atomic {
      ANY_TIME ->
      for (i : 0 .. T - 1) {
        tg[i].ahead = 0; tg[i].backoff = 0; tg[i].block = 0
      }
      for (i : 0 .. M - 1) {
        if
        :: BELL_ENDS(i) -> box[i].bell = 0
        :: else
        fi;
        if
        :: LAPSED(i) -> box[i].live = 0
        :: else
        fi;
        ripen(i)
      }
      i = 0
    }
  od
}
#else
proctype TargetClock(byte t) {
end:
  do
  :: atomic { tg[t].ahead -> tg[t].ahead = 0; ripen(t / NS) }
  :: atomic { tg[t].backoff -> tg[t].backoff = 0; ripen(t / NS) }
  :: atomic { tg[t].block -> tg[t].block = 0; ripen(t / NS) }
  od
}

proctype BoxClock(byte m) {
end:
  do
  :: atomic { BELL_ENDS(m) -> box[m].bell = 0 }
  :: atomic { LAPSED(m) -> box[m].live = 0 }
  od
}
#endif

/* Pauses and lost connections, at the moment at which they hurt. */
proctype Trouble(byte m) {
end:
  do
  :: outlive(m)
  :: atomic {
      faults > 0 && box[m].holder != 0 && box[m].holder <= NW && !absent[box[m].holder] -> faults--; absent[box[m].holder] = 1
    }
  :: atomic {  /* trust shrinks to 400 ms */
      box[m].holder != 0 && box[m].holder <= NW && absent[box[m].holder] && works[box[m].holder] ->
      works[box[m].holder] = 0; runners[(m) / NH]--
    }
  od
}

proctype Connection(byte me) {
end:
  do
  :: atomic { absent[me] -> absent[me] = 0 }
  od
}

#if MOVES > 0
active proctype Operator() {
  byte from;
end:
  do
  :: atomic {
#ifdef BROKEN_MOVES_LIVE
      moves > 0 && home[0] != NOWHERE ->
#else
      moves > 0 && home[0] != NOWHERE && (box[home[0]].holder == 0 || !box[home[0]].live) ->
#endif
      moves--; from = home[0]; move(0, from, 1 - from); from = 0
    }
  od
}
#endif

#ifdef ROLLBACK
#define COPY(to, from, what) to.what = from.what
inline copy_box(to, from) {
  COPY(to, from, marker); COPY(to, from, token); COPY(to, from, holder); COPY(to, from, renewal); COPY(to, from, running);
  COPY(to, from, done); COPY(to, from, live); COPY(to, from, reclaimed); COPY(to, from, due); COPY(to, from, bell)
}

inline copy_target(to, from) {
  COPY(to, from, wait); COPY(to, from, frozen); COPY(to, from, shown); COPY(to, from, batch); COPY(to, from, parked);
  COPY(to, from, ahead); COPY(to, from, backoff); COPY(to, from, block)
}

/* The server dies and comes back with what it had written a moment before; nobody else notices. */
Box nothing;
Target nowhere;
active proctype Rollback() {
  Box old; Target was;
  byte then_deposited, then_finished;
  atomic {
    copy_box(old, box[0]); copy_target(was, tg[0]); then_deposited = deposited; then_finished = finished
  }
  atomic {
    copy_box(box[0], old); copy_target(tg[0], was); deposited = then_deposited; accepted = then_deposited; finished = then_finished;
    if
    :: box[0].holder != 0 && box[0].holder <= NW && !(works[box[0].holder] && box[0].running && box[0].token == issued[0]) -> box[0].holder = GAVE_UP
    :: else  /* its batch runs, and nobody was given the agent since */
    fi;
    ripen(0);
    copy_box(old, nothing); copy_target(was, nowhere); then_deposited = 0; then_finished = 0
  }
}
#endif
