/* The steps of a holder. Each is one Lua file; `got` is 1 if it answered yes. m: mailbox, t: target, me: holder, tok: token. */

/* acquire.lua. The decision is made on the snapshot that it returns, in the same step: nobody else sees anything in between. */
inline acquire(m, me) {
  d_step {
    if
    :: home[(m) / NH] != (m) % NH  /* FOREIGN, EMPTY */
    :: else ->
#ifndef BROKEN_BELL
      box[m].bell = 0;
#endif
      if
      :: box[m].holder == me && box[m].running == 0 -> got = 1; box[m].live = 1; box[m].reclaimed = 0  /* the same nonce again */
#ifndef BROKEN_TAKES_LIVE
      :: box[m].holder != 0 && box[m].holder != me && box[m].live -> derive(m)  /* LEASE_HELD */
#endif
      :: else ->
        if
        :: box[m].running != 0 -> park_batch(m, (m) * NS + box[m].running - 1, 0); got = 1
        :: else -> got = FREE_DUE(m) == NOW
        fi;
        if
        :: !got ->  /* NOT_DUE, EMPTY: an old claim ends here */
          if
          :: box[m].holder != 0 -> release(m)
          :: else
          fi;
          derive(m)
        :: else ->
#ifdef BROKEN_TOKEN
          box[m].token = box[m].token + 1;
#else
          box[m].token = (box[m].token > issued[(m) / NH] -> box[m].token : issued[(m) / NH]) + 1;
#endif
          holds(P_TOKEN, box[m].token > issued[(m) / NH]);
          issued[(m) / NH] = box[m].token;
          box[m].holder = me; box[m].renewal = 0; box[m].live = 1; box[m].reclaimed = 0;
          derive(m)
        fi
      fi;
#ifdef BROKEN_DROPS_DUE
      if
      :: got -> box[m].due = NONE
      :: else
      fi;
#endif
      sound(m)
    fi
  }
}

/* begin.lua and resume.lua: the batch runs under this lease. */
inline begin(m, t, me, tok) {
  d_step {
    if
    :: !FENCED(m, me, tok)  /* STALE_TOKEN */
    :: FENCED(m, me, tok) && box[m].running == (t) % NS + 1 -> got = 1  /* the same batch id again */
    :: FENCED(m, me, tok) && box[m].running == 0 && !tg[t].parked && tg[t].wait != 0 ->
      tg[t].frozen = tg[t].wait; tg[t].wait = 0;
      tg[t].shown = tg[t].frozen; tg[t].batch = tok; tg[t].unserved = 0;
      tg[t].ahead = 0;
      runs(m, t)
    :: else  /* TARGET_PARKED, NOTHING, BEGUN_ALREADY */
    fi
  }
}

inline resume(m, t, me, tok) {
  d_step {
    if
    :: !FENCED(m, me, tok)
    :: FENCED(m, me, tok) && box[m].running == (t) % NS + 1 -> got = 1
    :: FENCED(m, me, tok) && box[m].running == 0 && tg[t].parked -> tg[t].parked = 0; runs(m, t)
    :: else  /* NO_BATCH, BEGUN_ALREADY */
    fi
  }
}

inline runs(m, t) {
  tg[t].block = 0; tg[t].backoff = 0; tg[t].promoted = 0;
  box[m].running = (t) % NS + 1; box[m].live = 1; box[m].reclaimed = 0;
  holds(P_FROZEN, tg[t].frozen == tg[t].shown);
  holds(P_OWNER, BINDS || !(tg[t].frozen & ~OWN((m) / NH)));
  derive(m);
  sound(m);
  got = 1
}

/* defer.lua. `seen`: the urgent wakes that the decision knew. `got` is 0 for CHANGED: decide again. */
inline defer(m, t, me, tok, seen) {
  d_step {
    if
    :: !FENCED(m, me, tok) -> got = 1
#ifndef BROKEN_DEFER
    :: FENCED(m, me, tok) && box[m].urgent != seen  /* CHANGED */
#endif
    :: else ->
      if
      :: tg[t].parked -> tg[t].backoff = 1
      :: else -> tg[t].ahead = 1
      fi;
      holds(P_URGENT, !(tg[t].promoted && tg[t].backoff));
      release(m);
      derive(m);
      announce(m, 0);
      sound(m);
      got = 1
    fi
  }
}

/* settle.lua, park.lua, dissolve.lua and bury.lua, by the outcome. bat: the batch that ran, request: what its runner was shown. */
inline conclude(m, t, me, tok, bat, request, outcome) {
  d_step {
    if
    :: box[m].done == tok -> got = 1  /* ALREADY_SETTLED */
#ifdef BROKEN_FENCE
    :: box[m].done != tok && box[m].running == (t) % NS + 1 && tg[t].batch == bat ->
#else
    :: box[m].done != tok && FENCED(m, me, tok) && box[m].running == (t) % NS + 1 && tg[t].batch == bat ->
#endif
      holds(P_FROZEN, tg[t].frozen == tg[t].shown);
      holds(P_FROZEN, tg[t].frozen == request);
      box[m].done = tok;
      if
      :: outcome == RAN || outcome == FINAL ->
        holds(P_TWICE, !(finished & tg[t].frozen));
        finished = finished | tg[t].frozen;
        ended(t)
      :: outcome == BUSY ->
#ifndef BROKEN_DISSOLVE
        tg[t].wait = tg[t].wait | tg[t].frozen;
#endif
        tg[t].ahead = 1; tg[t].block = 1;
        ended(t)
      :: else -> park_batch(m, t, outcome == FAILED)
      fi;
      release(m);
#ifdef BROKEN_FORGETS
      if
      :: outcome == RAN -> box[m].due = NONE
      :: else -> derive(m)
      fi;
#else
      derive(m);
#endif
      announce(m, 1);
      sound(m);
      got = 1
    :: else  /* STALE_TOKEN, NO_BATCH */
    fi
  }
}

inline ended(t) {
  tg[t].frozen = 0; tg[t].shown = 0; tg[t].batch = 0
}

/* renew.lua. `got` is 0 for STALE_TOKEN, NO_BATCH. */
inline renew(m, t, me, tok) {
  d_step {
    if
#ifdef BROKEN_RENEW
    :: box[m].holder != 0 && box[m].running == (t) % NS + 1 ->
      box[m].holder = me; box[m].token = tok;
#else
    :: FENCED(m, me, tok) && box[m].running == (t) % NS + 1 ->
#endif
      box[m].live = 1; box[m].reclaimed = 0; box[m].renewal++;
      sound(m);
      got = 1
    :: else
    fi
  }
}

/* reclaim.lua: the lease that was watched, if it is still that one. */
inline reclaim(m, tok, renewal_seen) {
  d_step {
    if
#ifdef BROKEN_RECLAIM
    :: box[m].holder != 0 ->
#else
    :: box[m].holder != 0 && !box[m].reclaimed && box[m].token == tok && box[m].renewal == renewal_seen && ABSENT(box[m].holder) ->
#endif
      box[m].live = 0; box[m].reclaimed = 1; box[m].bell = 1; ringing = 1;
      derive(m);
      sound(m)
    :: else  /* CHANGED, PRESENT */
    fi
  }
}
