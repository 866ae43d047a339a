/* token.js - what servers want to see before they serve, where their operator says so
 *
 * Never in the address's query, which servers and what lies on the way write into their logs: it
 * comes in the fragment (#token=...), which is taken away at once, or from who sits here. Kept
 * in this page's memory, by the server that it is for, and sent to no other.
 */

/** Of an address's fragment. @param {string} fragment */
export function readToken(fragment) {
  return new URLSearchParams(fragment.replace(/^#/, "")).get("token") ?? "";
}

export class Tokens {
  #of = new Map();

  /** @param {string} server */
  of(server) {
    return this.#of.get(server) ?? "";
  }

  /** That of the page's own address. @param {string} server whose it is */
  take(server) {
    const token = readToken(location.hash);
    if (!token) return;
    this.#of.set(server, token);
    history.replaceState(null, "", location.pathname + location.search);
  }

  /** From who sits here. @param {string} server @param {string} token */
  set(server, token) {
    this.#of.set(server, token.trim());
  }

  /** A page of a server's, as JSON; null: it wants another token. @param {string} server @param {string} path */
  async fetch(server, path) {
    const token = this.of(server),
      headers = token ? { Authorization: `Bearer ${token}` } : undefined;
    const answer = await fetch(new URL(path, server.replace(/^ws/, "http")), { headers });
    return answer.status === 401 ? null : answer.json();
  }
}
