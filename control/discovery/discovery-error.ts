/** `limited`: the caller has all that it may have; `unavailable`: for every caller; `ambiguous`: several fit. */
export type DiscoveryErrorCode = 'invalid' | 'limited' | 'ambiguous' | 'unavailable';

/** A poll that cannot be answered; `message` is for the proxy's operator. */
export class DiscoveryError extends Error {
  override name = 'DiscoveryError';
  readonly code: DiscoveryErrorCode;
  constructor(code: DiscoveryErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
