/** The schema of RolloutPolicy's spec (docs/rollout.md): in which steps a change of configuration comes to which proxies. */
import type { z } from 'zod';
import { duration, integer, list, map, object, oneOfNames, string, withRules } from '../vocabulary.ts';
import * as rules from './rollout-policy-rules.ts';

/** Kinds whose changes are rolled out by every policy that names no kinds. */
export const TRAFFIC_KINDS = [
  'VirtualService',
  'DestinationRule',
  'Gateway',
  'Sidecar',
  'ProxyConfig',
  'EnvoyFilter',
  'Telemetry',
  'WasmPlugin',
  'TrafficExtension',
] as const;

/** Kinds that take part only where a policy names them: undoing one can open a door. */
export const SECURITY_KINDS = ['AuthorizationPolicy', 'PeerAuthentication', 'RequestAuthentication'] as const;

const labels = (what: string) => map(string({ max: 63 }).describe('Value of the label.'), 32, 1).describe(what);
const LabelSelector = (what: string) => object({ matchLabels: labels(what) }, ['matchLabels']);

export const RolloutStep = withRules(
  object({
    duration: duration(1000).describe(
      'How long the step is watched before the next begins, from the moment that all its proxies have the change. Default: 10m.',
    ),
    percent: integer({ min: 1, max: 100 }).describe(
      'How many of the proxies that the change concerns have it in this step, chosen at random and stable; at least one.',
    ),
    proxies: LabelSelector('Labels that such a proxy has, with these very values.').describe(
      'Proxies that have the change from this step on, whatever the percentage.',
    ),
  }),
  rules.someProxies,
);
export type RolloutStep = z.infer<typeof RolloutStep>;

export const RolloutPolicySpec = object({
  kinds: list(oneOfNames([...TRAFFIC_KINDS, ...SECURITY_KINDS]).describe('Name of a kind.'), {
    min: 1,
    max: TRAFFIC_KINDS.length + SECURITY_KINDS.length,
  }).describe(
    `Kinds whose changes are rolled out in steps. ${SECURITY_KINDS.join(', ')} take part only where they are named here: while such a change is rolled out, and after it was reverted, proxies enforce the policy before it. Default: ${TRAFFIC_KINDS.join(', ')}.`,
  ),
  namespaces: list(string({ min: 1, max: 63 }).describe('Name of a namespace.'), { min: 1, max: 256 }).describe(
    "Namespaces whose resources it selects; in the mesh's root namespace only. Default: all of them there, elsewhere the namespace of the policy.",
  ),
  selector: LabelSelector('Labels that such a resource has, with these very values.').describe(
    'Resources that it selects, by their labels. Default: all of the kinds.',
  ),
  steps: list(RolloutStep, { min: 1, max: 16 }).describe(
    'The steps in their order; each keeps the proxies of those before it. After the last one the change is in force for every proxy. Default: 1, 10, 50 and 100 percent, 10m each.',
  ),
});
export type RolloutPolicySpec = z.infer<typeof RolloutPolicySpec>;
