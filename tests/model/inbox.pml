/* Producers, inbox and routers: submit.lua, claim.lua, acknowledge.lua, and dispatcher/routing.py. */
#ifdef NO_INBOX
/* Wakes lie in the mailboxes at some time, in any order. */
active proctype Depositor() {
  byte c;
  do
  :: atomic { c < NC -> deposit(AGENT_OF(c) * NH, c); got = 0; accepted = accepted | BIT(c); ring(AGENT_OF(c) * NH); c++ }
  :: c == NC -> break
  od
}
#else
byte inbox;        /* entries of the stream */
byte claimed_once; /* those that were claimed by somebody at some time */
byte hand[NR];     /* entries that this router read and still means to deposit */
bit late[NR];      /* it read them longer ago than it may hold them */
bit announced, told;
byte resubmits = 1;
#if BINDS
byte pin = NOWHERE, bound;
#endif

#if NR == 1
#define IN_HAND (late[0] -> 0 : hand[0])
#else
#define IN_HAND ((late[0] -> 0 : hand[0]) | (late[1] -> 0 : hand[1]))
#endif
#define CLAIMABLE (inbox & ~IN_HAND)

/* submit.lua: dedupe check, record and append in one step; then the message, a hint. */
active proctype Producer() {
  byte c;
  do
  :: atomic {
      c < NC ->
      if
      :: accepted & BIT(c)  /* DUPLICATE */
      :: else ->
        accepted = accepted | BIT(c); inbox = inbox | BIT(c);
        if
        :: announced
        :: !announced -> announced = 1; told = 1
        :: !announced && faults > 0 -> announced = 1; faults--
        fi
      fi;
      if
      :: c++
      :: resubmits > 0 -> resubmits--  /* the answer was lost */
      fi
    }
  :: c == NC -> break
  od
}

#ifdef BROKEN_TOLD
#define MAY_LOOK told
#else
#define MAY_LOOK (told || CLAIMABLE != 0)
#endif

inline let_go(me) {
  atomic { hand[me] = 0; late[me] = 0; page = 0; done = 0; c = 0; known = 0; owner = 0; goto idle }
}

proctype Router(byte me) {
  byte page, done, c, known, owner;
  bit again;
idle:
end:
  atomic {
    MAY_LOOK -> told = 0;
    if
    :: announced = 0
    :: skip  /* it stays: producers need not tell, it looks again by itself */
    fi;
    page = CLAIMABLE; again = (page & claimed_once) != 0; claimed_once = claimed_once | page;
    if
    :: page == 0 -> again = 0; goto idle
    :: else -> hand[me] = page; late[me] = 0
    fi
  }
#if BINDS
#ifdef BROKEN_PIN
  owner = bound;
#else
  if
  :: atomic { again && pin != NOWHERE -> owner = pin }
  :: atomic { !again || pin == NOWHERE -> owner = bound }
  :: atomic { faults > 0 -> faults--; again = 0; let_go(me) }
  fi;
  atomic {
    again = 0;
#ifndef BROKEN_PIN_OVERWRITES
    if
    :: pin != NOWHERE -> owner = pin  /* the first pin holds, for everyone */
    :: else
    fi;
#endif
    pin = owner
  }
#endif
#endif
  again = 0;
#ifdef BROKEN_ACK_FIRST
  inbox = inbox & ~page;
#endif
  do
  :: atomic {
      page & ~done ->
      if
      :: (page & ~done) & 1 -> c = 0
      :: (page & ~done) & 2 -> c = 1
#if NC > 2
      :: (page & ~done) & 4 -> c = 2
#endif
      fi;
#if !BINDS
#ifdef BROKEN_OWNER
      owner = (owner == 0 -> AGENT_OF(c) + 1 : owner);
#define THE_OWNER (owner - 1)
#else
#define THE_OWNER AGENT_OF(c)
#endif
#else
#define THE_OWNER owner
#endif
      done = done | BIT(c);
      if
#ifndef BROKEN_HOLD
      :: late[me] -> page = page & ~BIT(c)  /* TOO_LATE: it stays in the inbox */
#endif
#ifndef BROKEN_HOME
      :: home[THE_OWNER] != NOWHERE && home[THE_OWNER] != known -> known = home[THE_OWNER]; done = done & ~BIT(c)  /* MOVED */
#endif
      :: else ->
        holds(P_TWICE, !BINDS || !(box[(1 - THE_OWNER) % M].marker & BIT(c)));
        deposit(THE_OWNER * NH + known, c);
        got = 0;
        ring(THE_OWNER * NH + known)
      fi;
      c = 0
    }
  :: atomic { faults > 0 -> faults--; let_go(me) }
  :: else -> break
  od;
#ifdef BROKEN_MARKER_AFTER
  box[0].marker = box[0].marker | page;
#endif
  do
  :: atomic { page & inbox & 1 -> inbox = inbox & ~1 }
  :: atomic { page & inbox & 2 -> inbox = inbox & ~2 }
#if NC > 2
  :: atomic { page & inbox & 4 -> inbox = inbox & ~4 }
#endif
  :: atomic { faults > 0 && (page & inbox) -> faults--; let_go(me) }
  :: else -> break
  od;
  let_go(me)
}

/* A router that stands still for longer than it may hold what it read. */
active proctype Slowness() {
end:
  do
  :: atomic { faults > 0 && hand[0] && !late[0] -> faults--; late[0] = 1 }
#if NR > 1
  :: atomic { faults > 0 && hand[1] && !late[1] -> faults--; late[1] = 1 }
#endif
  od
}

#if BINDS
active proctype Binder() {
  bound = 1
}
#endif

/* trim.lua: a marker goes when the fate is final, the entry has left the inbox, and everyone who read it before may not deposit it now. */
#ifdef BROKEN_TRIM
#define SAFE(c) 1
#else
#define SAFE(c) (!(inbox & BIT(c)) && !(IN_HAND & BIT(c)))
#endif
#ifdef TRIM
active proctype Trimmer() {
end:
  do
  :: atomic { (box[0].marker & finished & 1) && SAFE(0) -> box[0].marker = box[0].marker & ~1 }
  :: atomic { (box[0].marker & finished & 2) && SAFE(1) -> box[0].marker = box[0].marker & ~2 }
  od
}
#endif
#endif
