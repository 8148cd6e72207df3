/** `POST /v1/join`: a machine without a certificate shows what it has, and obtains a certificate and what it is in the mesh. */
import * as z from 'zod';

const Text = z.string().min(1).max(253);

/** What proves who the machine is. `kind` names a row of a JoinPolicy; `token` is that of an invitation. */
export const Evidence = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('token'), token: z.string().min(1).max(256) }),
  /** An OIDC token (compact JWS). */
  z.strictObject({ kind: z.literal('oidc'), token: z.string().min(1).max(16_384) }),
  /** PEM chain, leaf first, and a signature (base64) by its key that binds `csr`: `possession.ts`. */
  z.strictObject({ kind: z.literal('certificate'), chain: z.string().max(32_768), signature: z.string().max(2048) }),
  /**
   * What the provider's metadata service gives: of AWS the document and its `rsa2048` signature, of GCP the identity token
   * (format full), of Azure the attested document whose nonce is `nonceOf` the CSR.
   */
  z.strictObject({
    kind: z.enum(['aws', 'gcp', 'azure']),
    document: z.string().min(1).max(16_384),
    signature: z.string().max(16_384).optional(),
  }),
]);
export type Evidence = z.infer<typeof Evidence>;

export const JoinRequest = z.strictObject({
  /** PEM. */
  csr: z.string().min(1).max(8192),
  evidence: Evidence,
  /** Needed where the evidence leaves a choice; must agree with it otherwise. */
  namespace: Text.optional(),
  group: Text.optional(),
  serviceAccount: Text.optional(),
  ttlSeconds: z.int().positive().optional(),
});
export type JoinRequest = z.infer<typeof JoinRequest>;

/** What the joined machine is. Registration follows by discovery, from the node's metadata AUTO_REGISTER_GROUP, as istiod's. */
export const JoinAnswer = z.object({
  certificateChain: z.string(),
  trustBundle: z.string(),
  /** RFC 3339. */
  notAfter: z.string(),
  spiffeId: z.string(),
  namespace: z.string(),
  serviceAccount: z.string(),
  /** Absent: the machine is not of a WorkloadGroup, and registers nothing. */
  group: z.string().optional(),
  /** Of the WorkloadGroup's template, with those of the invitation. */
  labels: z.record(z.string(), z.string()),
  /** Name -> port, of the WorkloadGroup's template. */
  ports: z.record(z.string(), z.int()),
  network: z.string().optional(),
  locality: z.string().optional(),
  /** Of the WorkloadGroup's template, those that say what is captured: `traffic.sidecar.istio.io/…`. Absent: none. */
  annotations: z.record(z.string(), z.string()).optional(),
  /** Not to be kept on the machine beyond its certificate: it registers again by another invitation alone. */
  ephemeral: z.boolean(),
  /** `https://HOST:PORT`. */
  controlPlanes: z.array(z.string()),
});
export type JoinAnswer = z.infer<typeof JoinAnswer>;
