/** Tokens that were verified, least recently used first (Envoy's jwt_cache_config). Whether one is still valid is for its reader to judge. */

/** Of jwt_cache_config without a size, and without a jwt_cache_config. */
const DEFAULT_SIZE = 100;
/** Characters of a token; longer ones are verified each time. */
const MAX_CACHED_TOKEN = 4096;

export class TokenCache<Value> {
  private readonly entries = new Map<string, Value>();
  private newest: string | undefined;
  private readonly size: number;

  /** @param size tokens; 0: the default */
  constructor(size: number) {
    this.size = size || DEFAULT_SIZE;
  }

  get(token: string): Value | undefined {
    const value = this.entries.get(token);
    if (value === undefined || this.newest === token) return value;
    this.entries.delete(token);
    this.entries.set(token, value);
    this.newest = token;
    return value;
  }

  set(token: string, value: Value): void {
    if (token.length > MAX_CACHED_TOKEN) return;
    this.entries.delete(token);
    this.entries.set(token, value);
    this.newest = token;
    if (this.entries.size <= this.size) return;
    for (const oldest of this.entries.keys()) {
      this.entries.delete(oldest);
      return;
    }
  }

  delete(token: string): void {
    this.entries.delete(token);
  }
}
