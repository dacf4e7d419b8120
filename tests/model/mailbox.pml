/* The state of the store, and the steps that need no lease: deposit, sweep, move, trim; include/due.lua. */
typedef Target {
  byte wait;    /* waiting wakes: mailbox and lanes */
  byte frozen;  /* wakes of the one frozen batch of this target */
  byte shown;   /* observer: as begin froze them */
  byte batch;   /* its id */
  bit parked;
  bit ahead;    /* the due time of the event lane, or a deferral that binds it, lies ahead */
  bit backoff;  /* the not-before of the parked batch lies ahead */
  bit block;    /* the target was busy, and binds everyone */
  bit unserved; /* an urgent wake came since the last promotion of a parked batch */
  bit promoted  /* observer: a person waits behind this parked batch */
}
typedef Box {
  byte marker;   /* fates: the ids that were deposited here */
  byte token; byte holder; byte renewal;
  byte running;  /* lease.batch, as session + 1 of its target */
  byte done;     /* the token whose batch ended last */
  bit live;      /* the lease ends in the future */
  bit reclaimed; /* its end was set to 0 */
  byte due;
  bit bell;      /* a doorbell is out, and its time is not over */
  byte urgent    /* how many urgent wakes came */
}
Box box[M];
Target tg[T];
bit door[M];             /* a doorbell lies in the queue */
byte home[NA] = NOWHERE;
bit works[NW + 1];         /* the runner of this worker works, and its worker trusts the lease */
bit absent[NW + 1];      /* the server does not see the presence of this worker */
byte runners[NA];        /* observer */
byte issued[NA];         /* observer, and the server's clock: above every token that it ever gave */
byte accepted, deposited, finished;  /* observers */
byte faults = FAULTS, detours = DETOURS, moves = MOVES;
bit got, ringing;        /* answer of the last step; always 0 again when its atomic block ends */

/* NONE, LATER or NOW of one target, then of a free agent; in numbers, because spin's conditional expression does not nest well. */
#define LOOK(t) (tg[t].parked * (NOW - tg[t].backoff) + (!tg[t].parked && tg[t].wait != 0) * \
  (NOW - (tg[t].block || (tg[t].ahead && !(tg[t].wait & URGENT)))))
#if NS == 1
#define FREE_DUE(m) LOOK(m)
#define WORK(m) (tg[m].wait | tg[m].frozen)
#else
#define FREE_DUE(m) (LOOK(2*(m)) * (LOOK(2*(m)) > LOOK(2*(m)+1)) + LOOK(2*(m)+1) * (LOOK(2*(m)) <= LOOK(2*(m)+1)))
#define WORK(m) (tg[2*(m)].wait | tg[2*(m)].frozen | tg[2*(m)+1].wait | tg[2*(m)+1].frozen)
#endif
#define RIPE(m) (!box[m].bell && (box[m].due == NOW || (box[m].due == LEASE && !box[m].live)))
#define FENCED(m, me, tok) (box[m].holder == me && box[m].token == tok)
#define ABSENT(h) (h == GHOST || (h != GAVE_UP && absent[h]))

inline holds(property, condition) {
  if
  :: (condition)
  :: else -> assert(property == 0)
  fi
}

/* What every step must leave behind; called at the end of each. */
inline sound(m) {
  holds(P_DUE, !WORK(m) || box[m].due != NONE);
  holds(P_DUE, box[m].due == (box[m].holder != 0 -> LEASE : FREE_DUE(m)));
  holds(P_OWNER, !WORK(m) || home[(m) / NH] == (m) % NH)
}

inline derive(m) {
  box[m].due = (box[m].holder != 0 -> LEASE : FREE_DUE(m));
  if
  :: box[m].due == NONE -> box[m].bell = 0
  :: else
  fi
}

inline announce(m, always) {
  if
  :: box[m].due == NOW && box[m].holder == 0 && (always || !box[m].bell) -> box[m].bell = 1; ringing = 1
  :: else
  fi
}

/* A doorbell goes out. It may be lost; that its sender dies first is the same. */
inline ring(m) {
  if
  :: !ringing
  :: ringing -> door[m] = 1
  :: ringing && faults > 0 && !door[m] -> faults--
  fi;
  ringing = 0
}

inline release(m) {
  box[m].holder = 0; box[m].live = 0; box[m].running = 0; box[m].renewal = 0; box[m].reclaimed = 0
}

/* include/batch.lua: the batch of target t waits unchanged. An urgent wake that came meanwhile makes it due now, once. */
inline park_batch(m, t, waits) {
  tg[t].backoff = waits;
  if
  :: tg[t].unserved && (tg[t].wait & URGENT) -> tg[t].backoff = 0; tg[t].promoted = 1
  :: else
  fi;
  tg[t].unserved = 0;
  tg[t].parked = 1;
  box[m].running = 0
}

/* deposit.lua, from the check of the home on; `got`: deposited, or there already. */
inline deposit(m, c) {
  d_step {
    got = 1;
    if
    :: box[m].marker & BIT(c)  /* DUPLICATE */
    :: else ->
      holds(P_TWICE, !(deposited & BIT(c)));
      holds(P_OWNER, BINDS || AGENT_OF(c) == (m) / NH);
      if
      :: home[(m) / NH] == NOWHERE -> home[(m) / NH] = (m) % NH
      :: else
      fi;
#ifndef BROKEN_MARKER_AFTER
      box[m].marker = box[m].marker | BIT(c);
#endif
      deposited = deposited | BIT(c);
#ifdef BROKEN_JOINS
      if
      :: box[m].running == SESSION_OF(c) + 1 -> tg[(m) * NS + SESSION_OF(c)].frozen = tg[(m) * NS + SESSION_OF(c)].frozen | BIT(c)
      :: else -> put(m, (m) * NS + SESSION_OF(c), c)
      fi;
#else
      put(m, (m) * NS + SESSION_OF(c), c);
#endif
      derive(m);
      announce(m, BIT(c) & URGENT);
      sound(m)
    fi
  }
}

inline put(m, t, c) {
  if
  :: tg[t].wait & ~URGENT
  :: else -> tg[t].ahead = 1  /* the first event of the lane sets its due time; later ones join */
  fi;
  tg[t].wait = tg[t].wait | BIT(c);
  if
  :: BIT(c) & URGENT ->
    box[m].urgent++;
    if
    :: tg[t].parked -> tg[t].backoff = 0; tg[t].promoted = 1
    :: else -> tg[t].unserved = 1
    fi
  :: else
  fi
}

/* move.lua: with everything it has, in one step. */
inline move(a, from, to) {
  d_step {
    byte s;
    for (s : 0 .. NS - 1) {
      if
      :: box[from].running == s + 1 -> park_batch(from, from * NS + s, 0)
      :: else
      fi;
      tg[to * NS + s].wait = tg[from * NS + s].wait; tg[from * NS + s].wait = 0;
      tg[to * NS + s].frozen = tg[from * NS + s].frozen; tg[from * NS + s].frozen = 0;
      tg[to * NS + s].shown = tg[from * NS + s].shown; tg[from * NS + s].shown = 0;
      tg[to * NS + s].batch = tg[from * NS + s].batch; tg[from * NS + s].batch = 0;
      tg[to * NS + s].parked = tg[from * NS + s].parked; tg[from * NS + s].parked = 0;
      tg[to * NS + s].ahead = tg[from * NS + s].ahead; tg[from * NS + s].ahead = 0;
      tg[to * NS + s].backoff = tg[from * NS + s].backoff; tg[from * NS + s].backoff = 0;
      tg[to * NS + s].block = tg[from * NS + s].block; tg[from * NS + s].block = 0
    }
    release(from);
    box[to].marker = box[from].marker; box[from].marker = 0;
    box[to].token = box[from].token; box[from].token = 0;
    box[to].done = box[from].done; box[from].done = 0;
    box[from].due = NONE; box[from].bell = 0;
    home[a] = to % NH;
    derive(to);
    sound(from);
    sound(to)
  }
}
