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
  #of = new Map(); // "": was asked for, and not given

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

  /** Who sits here, once; again while it is the wrong one. False: there is none. @param {string} server */
  #ask(server) {
    const before = this.#of.get(server);
    if (before === "") return false;
    const token = prompt(`${before ? "That is not it. " : ""}${server} wants a token:`)?.trim() ?? "";
    this.#of.set(server, token);
    return token !== "";
  }

  /** A page of a server's, as JSON. @param {string} server @param {string} path */
  async fetch(server, path) {
    const token = this.of(server),
      headers = token ? { Authorization: `Bearer ${token}` } : undefined;
    const answer = await fetch(new URL(path, server.replace(/^ws/, "http")), { headers });
    if (answer.status !== 401) return answer.json();
    // another request may have asked meanwhile
    if (token !== this.of(server) || this.#ask(server)) return this.fetch(server, path);
    throw new Error("the server wants a token: reload the page to give it");
  }
}
