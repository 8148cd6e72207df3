/**
 * Incremental xDS as JSON over HTTP long-poll: the fields of envoy.service.discovery.v3.DeltaDiscoveryRequest and
 * DeltaDiscoveryResponse. One `POST /v3/delta-discovery` carries one exchange; the server holds it until something
 * the subscription covers has changed, or answers with no resources when the hold ends.
 */
import * as z from 'zod';
import { Node } from './core.ts';
import { bool, list, map, message, messageRequiring, nonEmpty, string, uint32 } from './message.ts';

export {
  FEATURES,
  type Feature,
  type FeatureType,
  isConfidential,
  knownFeatures,
  RESOURCE_TYPES,
  type ResourceType,
  resourceName,
  rowOf,
  SCHEMAS,
  type Snapshot,
  TYPE_URLS,
  typeOfUrl,
  typesWith,
  type XdsResource,
} from './resource-types.ts';

/** google.rpc.Status, as it travels in a NACK. */
const ErrorDetail = message({ code: z.int(), message: string() });

export const DeltaDiscoveryRequest = messageRequiring(
  {
    node: Node,
    typeUrl: nonEmpty(),
    /** `*` subscribes to every resource of the type. */
    resourceNamesSubscribe: list(nonEmpty()),
    resourceNamesUnsubscribe: list(nonEmpty()),
    /** What the proxy already has, name -> version; sent on the first request of a session. */
    initialResourceVersions: map(z.string()),
    /** In the place of `initialResourceVersions`: the digest of each name bucket, '' for an empty one. */
    heldDigests: list(z.string()),
    /** Buckets of which every name has been sent, in this poll and those before it. */
    namesSent: list(uint32()),
    responseNonce: string(),
    errorDetail: ErrorDetail,
  },
  ['typeUrl'],
);
export type DeltaDiscoveryRequest = z.infer<typeof DeltaDiscoveryRequest>;

/** One resource in a response. `resource` is left unparsed: an invalid resource must not hide the others. */
const DiscoveryResource = messageRequiring(
  { name: nonEmpty(), version: z.string(), resource: z.record(z.string(), z.unknown()) },
  ['name', 'version'],
);

export const DeltaDiscoveryResponse = messageRequiring(
  {
    systemVersionInfo: string(),
    typeUrl: nonEmpty(),
    resources: list(DiscoveryResource),
    removedResources: list(nonEmpty()),
    nonce: nonEmpty(),
  },
  ['typeUrl', 'nonce'],
);
export type DeltaDiscoveryResponse = z.infer<typeof DeltaDiscoveryResponse>;

/**
 * One long-poll: the proxy's requests for every type at once, so that one held request covers the whole proxy and
 * answers keep RESOURCE_TYPES order (make before break). `session` is empty on the first poll, then as the server gave it.
 */
export const DiscoveryPoll = messageRequiring(
  {
    session: string(),
    node: Node,
    requests: list(DeltaDiscoveryRequest),
    /** Of `TrustUpdate`: what the proxy has put in force. */
    trustVersion: string(),
  },
  ['node', 'requests'],
);
export type DiscoveryPoll = z.infer<typeof DiscoveryPoll>;

/**
 * The most names that the requests of one poll may have together: subscribed to, unsubscribed from, or held. Each costs the
 * control plane some microseconds of its only thread.
 */
export const MAX_POLL_NAMES = 20_000;

/** Buckets whose names the control plane has to know before it can answer. */
export const NamesWanted = messageRequiring({ typeUrl: nonEmpty(), buckets: list(uint32()) }, ['typeUrl', 'buckets']);
export type NamesWanted = z.infer<typeof NamesWanted>;

/** A certificate that is revoked: its serial number as `serialHex` writes it, and its end in milliseconds since the epoch. */
const RevokedCertificate = messageRequiring(
  { serial: z.string().regex(/^[0-9a-f]{1,40}$/), notAfter: z.int().nonnegative() },
  ['serial', 'notAfter'],
);

/**
 * Whom a proxy trusts, of the control plane whose certificate it has verified: that connection is what makes it authentic.
 * Certificates that have expired are left out, on both sides; a revocation is never taken back.
 */
export const TrustUpdate = messageRequiring(
  {
    version: nonEmpty(),
    /** `revoked` is all there is; else it is in addition to what the proxy has. */
    whole: bool(),
    revoked: list(RevokedCertificate),
    /** PEM roots of the mesh. */
    trustBundle: string(),
  },
  ['version'],
);
export interface TrustUpdate {
  readonly version: string;
  readonly whole?: boolean | undefined;
  readonly revoked?: readonly { readonly serial: string; readonly notAfter: number }[] | undefined;
  readonly trustBundle?: string | undefined;
}

export const DiscoveryAnswer = messageRequiring(
  {
    session: nonEmpty(),
    responses: list(DeltaDiscoveryResponse),
    /** In the first answer to a node that announced any: the features that the control plane will use. */
    features: list(nonEmpty()),
    namesWanted: list(NamesWanted),
    trust: TrustUpdate,
    /** URLs of all control planes of the mesh, in the first answer and where they have changed. */
    controlPlanes: list(nonEmpty()),
    /** The next poll is answered with the rest. */
    more: bool(),
  },
  ['session', 'responses'],
);
export type DiscoveryAnswer = z.infer<typeof DiscoveryAnswer>;
