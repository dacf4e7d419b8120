/* Who takes the steps: worker, sweeper, watcher, clock, operator. Between any two steps anything else may happen. */

/* The runner of this worker ends, or is killed by its reaper. */
inline runner_gone(me, a) {
  if
  :: works[me] -> works[me] = 0; runners[a]--
  :: else
  fi
}

/* The name under which a lease is held belongs to nobody any more: the process died, or forgot the lease. */
inline left_behind(m, me, tok, name) {
  if
  :: FENCED(m, me, tok) -> box[m].holder = name
  :: else
  fi
}

/* The worker process dies, its reaper ends the runner, and another process takes its place with a presence of its own. */
inline died(m, me, tok) {
  runner_gone(me, (m) / NH);
  left_behind(m, me, tok, GHOST);
  absent[me] = 0
}

inline pick_doorbell(m) {
  if
  :: door[0] -> m = 0
#if M == 2
  :: door[1] -> m = 1
#endif
  fi
}

inline pick_target(m, t) {
  if
  :: LOOK((m) * NS) == NOW -> t = (m) * NS
#if NS == 2
  :: LOOK((m) * NS + 1) == NOW -> t = (m) * NS + 1
#endif
  fi
}

#if M == 2
#define ANY_DOOR (door[0] || door[1])
#define ANY_RIPE (RIPE(0) || RIPE(1))
#else
#define ANY_DOOR door[0]
#define ANY_RIPE RIPE(0)
#endif

inline rest() {
  m = 0; t = 0; tok = 0; seen = 0; what = 0; bat = 0; request = 0; outcome = 0
}

proctype Worker(byte me) {
  byte m, t, tok, seen, what, bat, request, outcome;
idle:
end:
  atomic {
    ANY_DOOR && !absent[me] -> pick_doorbell(m);
    if
    :: door[m] = 0
    :: faults > 0 -> faults--  /* the message comes twice */
    fi
  }
ask:
  atomic {
    acquire(m, me);
    if
    :: !got -> rest(); goto idle
    :: got -> got = 0; tok = box[m].token; seen = box[m].urgent
    fi;
    if
    :: FREE_DUE(m) != NOW -> what = DEFER; t = m * NS  /* an answer that was asked for again */
    :: else ->
      pick_target(m, t);
      if
      :: tg[t].parked -> what = RESUME
      :: !tg[t].parked -> what = BEGIN
      :: detours > 0 && (tg[t].parked -> !tg[t].promoted : !(tg[t].wait & URGENT)) -> detours--; what = DEFER
      fi
    fi;
    if
    :: skip
    :: faults > 0 -> faults--; goto ask  /* the answer was lost */
    fi
  }
  if
  :: atomic {
      what == DEFER -> defer(m, t, me, tok, seen);
      if
      :: got -> got = 0; ring(m); rest(); goto idle
      :: else -> goto ask
      fi
    }
  :: atomic {
      what != DEFER ->
      if
      :: what == BEGIN -> begin(m, t, me, tok)
      :: else -> resume(m, t, me, tok)
      fi;
      if
      :: !got -> rest(); goto idle
      :: got -> got = 0; bat = tg[t].batch; request = tg[t].frozen
      fi;
      works[me] = 1; runners[m / NH]++;
#ifndef ROLLBACK
      holds(P_RUNNER, runners[m / NH] <= 1)
#endif
    }
  :: atomic { faults > 0 -> faults--; died(m, me, tok); rest(); goto idle }
  :: atomic { faults > 0 -> faults--; left_behind(m, me, tok, GAVE_UP); rest(); goto idle }
  fi;
running:
  if
  :: atomic { works[me] -> runner_gone(me, m / NH); outcome = RAN }
  :: atomic { works[me] && detours > 0 -> detours--; runner_gone(me, m / NH); outcome = BUSY }
  :: atomic { works[me] && detours > 0 -> detours--; runner_gone(me, m / NH); outcome = FAILED }
  :: atomic { works[me] && detours > 0 -> detours--; runner_gone(me, m / NH); outcome = FINAL }
  :: atomic { !works[me] -> outcome = CANCELLED }
  :: atomic {
      detours > 0 -> detours--; renew(m, t, me, tok);
      if
      :: got -> got = 0; goto running
      :: else -> runner_gone(me, m / NH); goto running
      fi
    }
  :: atomic { faults > 0 -> faults--; died(m, me, tok); rest(); goto idle }
  fi;
conclude_it:
  if
  :: atomic {
      conclude(m, t, me, tok, bat, request, outcome);
      if
      :: got -> got = 0; ring(m)
      :: else
      fi;
      if
      :: rest(); goto idle
      :: faults > 0 -> faults--; goto conclude_it  /* the answer was lost */
      fi
    }
  :: atomic { faults > 0 -> faults--; died(m, me, tok); rest(); goto idle }
  fi
}

/* sweep.lua and the ring that follows. */
#ifndef BROKEN_NO_SWEEP
active proctype Sweeper() {
  byte m;
end:
  do
  :: atomic {
      ANY_RIPE ->
      if
      :: RIPE(0) -> m = 0
#if M == 2
      :: RIPE(1) -> m = 1
#endif
      fi;
      box[m].bell = 1; ringing = 1; ring(m); sound(m); m = 0
    }
  od
}
#endif

/* watch.lua twice, then reclaim.lua. Before the second look, which comes 500 ms later, a holder that lost its presence has
   lost its trust (400 ms), or is back, or has renewed. */
#define WATCHED(m) (box[m].holder != 0 && !box[m].reclaimed && ABSENT(box[m].holder))
#define TRUSTS(m) (box[m].holder <= NW && box[m].holder != 0 && works[box[m].holder] && absent[box[m].holder])
inline second() {
  atomic {
    !(TRUSTS(m) && box[m].token == tok && box[m].renewal == renewal_seen) ->
    reclaim(m, tok, renewal_seen);
    ring(m);
    m = 0; tok = 0; renewal_seen = 0
  }
}

active proctype Watcher() {
  byte m, tok, renewal_seen;
end:
  do
  :: atomic {
      WATCHED(0) -> m = 0; tok = box[m].token; renewal_seen = box[m].renewal
    };
    second();
#if M == 2
  :: atomic {
      WATCHED(1) -> m = 1; tok = box[m].token; renewal_seen = box[m].renewal
    };
    second();
#endif
  od
}
