/** Why a call of the proxy's own has no response. */
export type CallFailure =
  | 'cluster_not_found'
  | 'no_healthy_upstream'
  | 'overflow'
  | 'reset'
  | 'timeout'
  | 'aborted'
  | 'response_too_large'
  | 'invalid_response'
  | 'invalid_request'
  | 'unsupported';

/** There is no response. What it says is for the log, never for a client. */
export class SideCallError extends Error {
  override readonly name = 'SideCallError';
  readonly reason: CallFailure;

  constructor(reason: CallFailure, cluster: string, detail: string) {
    super(`call to cluster "${cluster}": ${detail}`);
    this.reason = reason;
  }
}
