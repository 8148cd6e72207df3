/** The schema of WasmPlugin's spec, field for field (istio.io/latest/docs/reference/config). */
import type { z } from 'zod';
import { PolicySelector, PolicyTargetReference, TrafficSelector, VmConfig } from './common.ts';
import { integer, list, object, oneOfNames, string, struct } from './vocabulary.ts';

export const WasmPluginSpec = object(
  {
    failStrategy: oneOfNames(['FAIL_CLOSE', 'FAIL_OPEN', 'FAIL_RELOAD']),
    imagePullPolicy: oneOfNames(['UNSPECIFIED_POLICY', 'IfNotPresent', 'Always']),
    imagePullSecret: string({ min: 1, max: 253 }),
    match: list(TrafficSelector),
    phase: oneOfNames(['UNSPECIFIED_PHASE', 'AUTHN', 'AUTHZ', 'STATS']),
    pluginConfig: struct(),
    pluginName: string({ min: 1, max: 256 }),
    priority: integer(),
    selector: PolicySelector,
    sha256: string({ pattern: /(^$|^[a-f0-9]{64}$)/ }),
    targetRef: PolicyTargetReference,
    targetRefs: list(PolicyTargetReference, { max: 16 }),
    type: oneOfNames(['UNSPECIFIED_PLUGIN_TYPE', 'HTTP', 'NETWORK']),
    url: string({ min: 1 }),
    verificationKey: string(),
    vmConfig: VmConfig,
  },
  ['url'],
);
export type WasmPluginSpec = z.infer<typeof WasmPluginSpec>;
