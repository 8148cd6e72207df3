/** What an authorization service says of a request or a connection, whichever way it was asked. */
import type { StructValue } from '../../../protobuf/struct.ts';

/** What a header operation does; names are those of Envoy's HeaderAppendAction, but for `join`. */
export type HeaderAction =
  /** A further field of the name. */
  | 'append'
  | 'add-if-absent'
  | 'overwrite'
  | 'overwrite-if-exists'
  /** To the value of the field that is there, behind a comma; none there: nothing. */
  | 'join';

export interface HeaderMutation {
  /** Lower-case. */
  readonly key: string;
  /** Text of the wire: a character a byte. */
  readonly value: string;
  readonly action: HeaderAction;
}

export type DynamicMetadata = Readonly<Record<string, StructValue>>;

/** The request may pass, changed so. */
export interface Allowed {
  readonly kind: 'allowed';
  readonly headers: readonly HeaderMutation[];
  readonly headersToRemove: readonly string[];
  readonly responseHeaders: readonly HeaderMutation[];
  readonly queryToSet: readonly (readonly [key: string, value: string])[];
  readonly queryToRemove: readonly string[];
  readonly metadata: DynamicMetadata | undefined;
}

/** The client is answered so. */
export interface Denied {
  readonly kind: 'denied';
  readonly status: number;
  readonly body: Uint8Array;
  readonly headers: readonly HeaderMutation[];
  readonly metadata: DynamicMetadata | undefined;
}

/** The service says that it could not judge. */
export interface Failed {
  readonly kind: 'failed';
  /** undefined: the filter's status_on_error */
  readonly status: number | undefined;
  /** No request like this one can be judged: it does not pass, whatever failure_mode_allow says. */
  readonly closed?: true;
  readonly body: Uint8Array;
  readonly headers: readonly HeaderMutation[];
  readonly metadata: DynamicMetadata | undefined;
}

/** The answer cannot be put into effect: a header operation that names no header, or whose value no header may have. */
export interface Invalid {
  readonly kind: 'invalid';
}

export type Verdict = Allowed | Denied | Failed | Invalid;

export const INVALID: Invalid = { kind: 'invalid' };
const NOTHING = new Uint8Array(0);
/** There was no answer. */
export const NO_ANSWER: Failed = { kind: 'failed', status: undefined, body: NOTHING, headers: [], metadata: undefined };
/** The service cannot be asked about such a request. */
export const NOT_ASKABLE: Failed = { ...NO_ANSWER, closed: true };
