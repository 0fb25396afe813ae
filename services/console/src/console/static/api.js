/** Every call of the services that the inbox makes. */

export const PATHS = {
  me: "GET /v1/me",
  users: "GET /v1/users",
  teams: "GET /v1/teams",
  lines: "GET /v1/lines",
  why: "GET /v1/communications/{communication_id}/why",
  panel: "GET /v1/panel",
  threads: "GET /v1/inboxes/{inbox_id}/threads",
  thread: "GET /v1/threads/{thread_id}",
  communications: "GET /v1/threads/{thread_id}/communications",
  readThread: "POST /v1/threads/{thread_id}/read",
  unreadThread: "POST /v1/threads/{thread_id}/unread",
  readInbox: "POST /v1/inboxes/{inbox_id}/read",
  sendMessage: "POST /v1/inboxes/{inbox_id}/messages",
  placeCall: "POST /v1/inboxes/{inbox_id}/calls",
  nameContact: "PUT /v1/contacts/{number}",
  preferences: "GET /v1/me/preferences",
  prefer: "PUT /v1/me/preferences",
  stream: "GET /v1/stream",
};

const PATIENCE = 20_000;

/** What a service answered instead of doing it, or (`status` 0) that nothing answered. */
export class Refused extends Error {
  constructor(status, detail, errors = []) {
    super(detail);
    this.status = status;
    this.errors = errors;
  }

  /** Whether the same call may succeed later. */
  get passing() {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

/** The address of a path, its parts and query filled in; what is null or undefined is left out of the query. */
export function address(path, parts = {}, query = {}) {
  const filled = path.replace(/\{(\w+)\}/g, (_whole, name) => encodeURIComponent(parts[name]));
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? `${filled}?${new URLSearchParams(given)}` : filled;
}

/**
 * Call a service. Answers its JSON; throws `Refused`.
 * @param {keyof typeof PATHS} name
 * @param {{parts?: object, query?: object, body?: object, key?: string, signal?: AbortSignal, keepalive?: boolean}} given
 */
export async function call(name, { parts, query, body, key, signal, keepalive } = {}) {
  const [method, path] = PATHS[name].split(" ");
  const headers = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (key) headers["idempotency-key"] = key;
  const limit = AbortSignal.timeout(PATIENCE);
  let answer;
  try {
    answer = await fetch(address(path, parts, query), {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
      keepalive,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refused(0, "");
  }
  const document = await answer.json().catch(() => null);
  if (!answer.ok) throw new Refused(answer.status, document?.detail ?? document?.title ?? "", document?.errors);
  return document;
}

/** Every item of a paged list. */
export async function all(name, given = {}) {
  const items = [];
  let cursor;
  do {
    const page = await call(name, { ...given, query: { ...given.query, limit: 200, cursor } });
    items.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor);
  return items;
}
