/** A finished command. Fields that are not named here are passed on as they are. */
export interface Completion {
  session_key: string;
  /** 1 to 200 printable ASCII characters; the same id twice is one completion. Made by the client when it is left out. */
  completion_id?: string;
  agent_id?: string;
  run_id?: string;
  step_id?: string;
  command?: string;
  exit_code?: number;
  signal?: string;
  timed_out?: boolean;
  cancelled?: boolean;
  /** The last 64 KiB are kept. */
  output?: string;
  /** Seconds since 1970, or RFC 3339. */
  started_at?: number | string;
  finished_at?: number | string;
  [field: string]: unknown;
}

export interface WakeClientOptions {
  url: string | URL;
  token?: string;
  spool: string;
  timeoutMs?: number;
}

export class Refused extends Error {
  readonly status: number;
  readonly problem: string;
}

export class WakeClient {
  constructor(options: WakeClientOptions);
  report(completion: Completion): Promise<{ completion_id: string; state: "accepted" | "spooled" }>;
  flush(): Promise<{ sent: number; left: number }>;
}
