/**
 * Events of the audit log, in the form of `audit.k8s.io/v1` (https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/),
 * at level Metadata: no headers, no bodies, and of refusals the message only where it cannot quote a secret.
 */
import { type Attributes, isResource } from '../access/attributes.ts';

/** Of a user, as `authentication.k8s.io/v1` has it. */
export interface AuditUser {
  readonly username: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

export type AuditStage = 'RequestReceived' | 'ResponseStarted' | 'ResponseComplete' | 'Panic';

export interface ObjectReference {
  readonly resource: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly apiGroup?: string;
  readonly apiVersion?: string;
  readonly subresource?: string;
}

export interface AuditEvent {
  readonly kind: 'Event';
  readonly apiVersion: 'audit.k8s.io/v1';
  readonly level: 'Metadata';
  /** The same in all events of a request. */
  readonly auditID: string;
  readonly stage: AuditStage;
  /** Path and query. */
  readonly requestURI: string;
  readonly verb: string;
  readonly user: AuditUser;
  readonly impersonatedUser?: AuditUser;
  readonly sourceIPs: readonly string[];
  readonly userAgent?: string;
  readonly objectRef?: ObjectReference;
  readonly responseStatus?: {
    readonly metadata: object;
    readonly status?: 'Failure';
    readonly message?: string;
    readonly reason?: string;
    readonly code: number;
  };
  /** RFC 3339 with microseconds. */
  readonly requestReceivedTimestamp: string;
  readonly stageTimestamp: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** What is known of a request at a stage. */
export interface RequestFacts {
  readonly auditID: string;
  readonly uri: string;
  /** Of the path; of the control plane's own routes, where it is known, what the route needs. */
  readonly attributes: Attributes;
  /** As `v1`, of paths of the Kubernetes API. */
  readonly version: string | undefined;
  readonly user: AuditUser;
  readonly impersonated: AuditUser | undefined;
  readonly address: string | undefined;
  readonly userAgent: string | undefined;
  /** Milliseconds since the epoch, with fractions. */
  readonly received: number;
}

/** How a request was decided and answered. */
export interface Outcome {
  readonly code: number;
  readonly refusal?: { readonly reason: string | undefined; readonly message: string | undefined } | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

/** @param at milliseconds since the epoch, with fractions */
export function auditEvent(facts: RequestFacts, stage: AuditStage, at: number, outcome?: Outcome): AuditEvent {
  const { auditID, uri, attributes, user, impersonated, address, userAgent, received } = facts;
  const reference = referenceOf(attributes, facts.version);
  return {
    kind: 'Event',
    apiVersion: 'audit.k8s.io/v1',
    level: 'Metadata',
    auditID,
    stage,
    requestURI: uri,
    verb: attributes.verb,
    user,
    ...(impersonated && { impersonatedUser: impersonated }),
    sourceIPs: address === undefined ? [] : [address],
    ...(userAgent !== undefined && { userAgent: cut(userAgent) }),
    ...(reference && { objectRef: reference }),
    ...(outcome && { responseStatus: responseStatus(outcome, attributes) }),
    requestReceivedTimestamp: microTime(received),
    stageTimestamp: microTime(at),
    ...(outcome && {
      annotations: { ...outcome.annotations, 'apiserver.latency.k8s.io/total': duration(at - received) },
    }),
  };
}

function referenceOf(attributes: Attributes, apiVersion: string | undefined): ObjectReference | undefined {
  if (!isResource(attributes)) return undefined;
  const { resource, namespace, name, group, subresource } = attributes;
  return {
    resource,
    ...(namespace && { namespace }),
    ...(name && { name }),
    ...(group && { apiGroup: group }),
    ...(apiVersion && { apiVersion }),
    ...(subresource && { subresource }),
  };
}

/** Messages of refused writes quote values of the object. */
const SECRET: ReadonlySet<string> = new Set(['secrets', 'tokenreviews', 'serviceaccounts/token']);

function responseStatus({ code, refusal }: Outcome, attributes: Attributes): NonNullable<AuditEvent['responseStatus']> {
  if (code < 400) return { metadata: {}, code };
  const { reason, message } = refusal ?? {};
  const shown = !isResource(attributes) || !SECRET.has(plural(attributes)) || code === 401 || code === 403;
  return {
    metadata: {},
    status: 'Failure',
    ...(shown && message !== undefined && { message: cut(message) }),
    ...(reason !== undefined && { reason }),
    code,
  };
}

const plural = ({ resource, subresource }: { resource: string; subresource: string }) =>
  subresource === '' ? resource : `${resource}/${subresource}`;

const MAX_TEXT = 1024;
const TRUNCATED = '...TRUNCATED';

/** As kube-apiserver cuts user agents. */
const cut = (text: string) => (text.length > MAX_TEXT ? text.slice(0, MAX_TEXT) + TRUNCATED : text);

/** `metav1.MicroTime`. */
function microTime(ms: number): string {
  const whole = Math.floor(ms);
  const micros = Math.floor((ms - whole) * 1000);
  return `${new Date(whole).toISOString().slice(0, -1)}${String(micros).padStart(3, '0')}Z`;
}

/** As Go writes a `time.Duration`, in milliseconds. */
const duration = (ms: number) => `${Math.max(0, ms).toFixed(3)}ms`;
