/** The schema of TrafficExtension's spec, field for field (istio.io/latest/docs/reference/config). */
import type { z } from 'zod';
import { PolicySelector, PolicyTargetReference, TrafficSelector, VmConfig } from './common.ts';
import { atMostOne, integer, list, object, oneOfNames, string, struct } from './vocabulary.ts';

export const Lua = object(
  {
    inlineCode: string({ min: 1, max: 65536 }),
  },
  ['inlineCode'],
);
export type Lua = z.infer<typeof Lua>;

export const Wasm = object(
  {
    failStrategy: oneOfNames(['FAIL_CLOSE', 'FAIL_OPEN', 'FAIL_RELOAD']),
    imagePullPolicy: oneOfNames(['UNSPECIFIED_POLICY', 'IfNotPresent', 'Always']),
    imagePullSecret: string({ min: 1, max: 253 }),
    pluginConfig: struct(),
    pluginName: string({ min: 1, max: 256 }),
    sha256: string({ pattern: /(^$|^[a-f0-9]{64}$)/ }),
    type: oneOfNames(['UNSPECIFIED_PLUGIN_TYPE', 'HTTP', 'NETWORK']),
    url: string({ min: 1 }),
    verificationKey: string(),
    vmConfig: VmConfig,
  },
  ['url'],
);
export type Wasm = z.infer<typeof Wasm>;

export const TrafficExtensionSpec = atMostOne(
  object({
    lua: Lua,
    match: list(TrafficSelector),
    phase: oneOfNames(['UNSPECIFIED', 'AUTHN', 'AUTHZ', 'STATS']),
    priority: integer(),
    selector: PolicySelector,
    targetRefs: list(PolicyTargetReference, { max: 16 }),
    wasm: Wasm,
  }),
  ['wasm', 'lua'],
);
export type TrafficExtensionSpec = z.infer<typeof TrafficExtensionSpec>;
