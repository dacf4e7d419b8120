/* Sizes, budgets, words and properties of the model. docs/model.md says what each stands for.
   Sizes and budgets are given with -D; a budget bounds how often something may happen, never when. */
#ifndef NA
#define NA 1  /* agents */
#endif
#ifndef NS
#define NS 1  /* sessions (targets) of an agent */
#endif
#ifndef NH
#define NH 1  /* pools in which an agent can live */
#endif
#ifndef NC
#define NC 2  /* completions, at most 4 */
#endif
#ifndef NR
#define NR 1  /* routers */
#endif
#ifndef NW
#define NW 2  /* workers; the parallel heartbeats, wherever they run */
#endif
#ifndef URGENT
#define URGENT 0  /* mask of the completions that stand for a person's wake */
#endif
#ifndef FAULTS
#define FAULTS 2  /* crashes, lost or doubled messages, lost replies, lost presence, pauses beyond a deadline: together */
#endif
#ifndef DETOURS
#define DETOURS 1  /* deferrals, busy and failed outcomes, renewals: together */
#endif
#ifndef MOVES
#define MOVES 0  /* an operator moves the agent to its other pool */
#endif
#ifndef BINDS
#define BINDS 0  /* 1: completion 0 has a key that is bound to agent 0, then to agent 1 */
#endif

#define M (NA * NH)  /* mailboxes: agent * NH + pool */
#define T (M * NS)   /* targets: mailbox * NS + session */
#define ALL ((1 << (NC)) - 1)
#define BIT(c) (1 << (c))
#define OWN(a) ((NA == 1 -> 15 : 5 << (a)) & ALL)
#define AGENT_OF(c) ((c) % NA)
#define SESSION_OF(c) (((c) / NA) % NS)
#define NOWHERE 7
#define GHOST (NW + 1)    /* the holder is a dead process: nobody will ever use this name again */
#define GAVE_UP (NW + 2)  /* the holder lives and is present, but forgot this lease */

/* When somebody looks: the due entry. The order matters, the later word is the earlier look. */
#define NONE 0
#define LATER 1
#define NOW 2
#define LEASE 3

/* What a holder decided under its claim, and how its heartbeat ended. */
#define BEGIN 1
#define RESUME 2
#define DEFER 3
#define RAN 1
#define BUSY 2
#define FAILED 3
#define CANCELLED 4
#define FINAL 5

/* The properties. A violation prints its number. */
#define P_LOST 1    /* no accepted completion is lost: when everything is still, each is settled or a dead letter */
#define P_DUE 2     /* every mailbox with work is in the due index, at the time that its state says */
#define P_RUNNER 3  /* one heartbeat of an agent at a time */
#define P_TOKEN 4   /* a token is issued once, and grows */
#define P_FROZEN 5  /* a frozen batch never changes, and what is settled is what was shown */
#define P_OWNER 6   /* nothing of one agent lies with another, or outside its home */
#define P_TWICE 7   /* no completion is deposited or settled a second time */
#define P_URGENT 8  /* a person's wake does not wait behind a deferral that did not know of it */
