import type { Validity } from '../../shared/identity/verify.ts';
import type { Attributes } from '../access/attributes.ts';
import type { Authorizer } from '../access/authorizer.ts';
import type { HeaderLines } from '../access/impersonation.ts';
import type { User } from '../access/user.ts';
import type { BodyBudget } from './server/body-budget.ts';

/** The X.509-SVID of a client; `serial` is lower-case hexadecimal without leading zeros. */
export interface PeerCertificate extends Validity {
  readonly serial: string;
}

/** Who is calling the control API, from the TLS layer and the bearer token. Set once per request, before any route. */
export type Caller =
  | { kind: 'anonymous' }
  /** A person or a program that uses the control API; `impersonator`: who acts as that user. */
  | UserCaller
  /** A workload that presented a verified SVID (client certificate, or JWT-SVID for the control plane's audience). */
  | {
      kind: 'workload';
      spiffeId: string;
      trustDomain: string;
      namespace: string;
      serviceAccount: string;
      /** It presented a JWT-SVID, which is weaker proof than a private key: it is sent no private keys. */
      byToken?: true;
      /** The X.509-SVID that it presented. */
      certificate?: PeerCertificate;
    };

/** How a request was authorized, or one part of an impersonation. */
export interface Decision {
  readonly attributes: Attributes;
  /** undefined: it was forbidden. */
  readonly reason: string | undefined;
}

export type UserCaller = { kind: 'user'; impersonator?: User } & User;

/** The environment of every hono app under control/api. */
export interface ApiEnv {
  Bindings: {
    /** SPIFFE id of a client certificate that the TLS server verified itself. */
    peerSpiffeId?: string;
    /** The user of a client certificate that the TLS server verified itself; never with `peerSpiffeId`. */
    peerUser?: User;
    /** That certificate. */
    peerCertificate?: PeerCertificate;
    remoteAddress?: string;
    /** Memory for the bodies of requests; absent: no limit of all together. */
    bodies?: BodyBudget;
    /** Why requests with this client certificate are refused: it, its join or its CA was revoked. */
    refusal?: string;
    /** The header lines as they were sent: `Headers` joins those of one name. Names in lower case. */
    headerLines?: () => HeaderLines;
    /** Calls when the answer was sent, or its client has disconnected. */
    onClosed?: (listener: () => void) => void;
    /** Gives the answer trailers, before its body ends; absent with HTTP/1.1. */
    setTrailers?: (fields: Readonly<Record<string, string>>) => void;
    /** Asks the caller to use another connection for what follows; absent with HTTP/1.1. */
    retire?: () => void;
    /** Says that the caller proved an identity otherwise: its connection counts as that identity's. */
    authenticated?: (identity: string) => void;
  };
  Variables: {
    caller: Caller;
    authorizer?: Authorizer;
    /** When the request was received (milliseconds since the epoch, with fractions), and the id of its audit events. */
    audit?: { readonly auditID: string; readonly received: number };
    /** Of the request, without those of `impersonation`. */
    decisions?: readonly Decision[];
    /** That the caller may act as the user that it names. */
    impersonation?: readonly Decision[];
    /** A route or `authenticate` has accepted the bearer token. */
    tokenAccepted?: true;
    /** The name of the resource that the body of a POST has. */
    objectName?: string;
    dryRun?: boolean;
  };
}
