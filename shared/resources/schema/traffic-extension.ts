/** The schema of TrafficExtension's spec, field for field (istio.io/latest/docs/reference/config/proxy_extensions). */
import type { z } from 'zod';
import { selector, TrafficSelector, targetRefs } from './common.ts';
import * as rules from './rules/rules.ts';
import { atMostOne, integer, list, nullable, object, oneOfNames, string, withRules } from './vocabulary.ts';
import { wasmModule } from './wasm-plugin.ts';

export const Lua = object(
  {
    inlineCode: string({ min: 1, max: 65536 }).describe(
      'The script, with functions envoy_on_request and envoy_on_response; at most 64 KiB.',
    ),
  },
  ['inlineCode'],
);
export type Lua = z.infer<typeof Lua>;

export const Wasm = object(wasmModule, ['url']);
export type Wasm = z.infer<typeof Wasm>;

export const TrafficExtensionSpec = withRules(
  atMostOne(
    object({
      lua: Lua.describe('A Lua script. Exactly one of wasm and lua must be set.'),
      match: list(TrafficSelector).describe('Traffic it sees, by direction and port; any entry matches. Default: all.'),
      phase: oneOfNames(['UNSPECIFIED', 'AUTHN', 'AUTHZ', 'STATS']).describe(
        'Place in the filter chain: before the authentication, authorization or statistics filters of the mesh. Default: at the end, before the router.',
      ),
      priority: nullable(integer()).describe('Order within a phase, high first. Default: 0.'),
      selector,
      targetRefs,
      wasm: Wasm.describe('A WebAssembly module.'),
    }),
    ['wasm', 'lua'],
  ),
  rules.policyTargets,
  rules.onePlugin,
);
export type TrafficExtensionSpec = z.infer<typeof TrafficExtensionSpec>;
