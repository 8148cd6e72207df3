/** Who is calling the control API, as the TLS layer and the bearer token say. Set once per request, before any route. */
export type Caller =
  | { kind: 'anonymous' }
  | { kind: 'admin' }
  /** A workload that presented a verified SVID (client certificate, or JWT-SVID for the control plane's audience). */
  | {
      kind: 'workload';
      spiffeId: string;
      trustDomain: string;
      namespace: string;
      serviceAccount: string;
      /** It showed a JWT-SVID, which says less than holding a key: private keys are not for it. */
      byToken?: true;
    };

/** The environment of every hono app under control/api. */
export interface ApiEnv {
  Bindings: {
    /** SPIFFE id of a client certificate that the TLS server verified itself. */
    peerSpiffeId?: string;
    remoteAddress?: string;
  };
  Variables: { caller: Caller };
}
