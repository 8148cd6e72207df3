/** Fragments of policies: the modes of PeerAuthentications, values of AuthorizationPolicies. */
import { compileRegex } from '../../../../shared/match/regex.ts';
import type { ResourceOfKind } from '../../../../shared/resources/registry.ts';
import { mtlsModes } from '../../security/peer-authentication.ts';
import { buildRbacFilters } from '../../security/rbac.ts';
import type { Fragment, Json, Outcome } from './fragment.ts';

interface ModesInput {
  readonly rootNamespace: string;
  readonly policies: readonly ResourceOfKind<'PeerAuthentication'>[];
}

/** Of a workload `app: foo` in namespace `my-ns`. */
export function effectiveModes({ input, expected }: Fragment<ModesInput>): Outcome {
  const modes = mtlsModes(input);
  const workload = { namespace: 'my-ns', labels: { app: 'foo' } };
  const perPort = Object.fromEntries(modes.portsOf(workload).map((port) => [port, modes.of(workload, port)]));
  return { made: { mode: modes.of(workload, 0), perPort }, expected };
}

type Rule = NonNullable<NonNullable<ResourceOfKind<'AuthorizationPolicy'>['spec']>['rules']>[number];

/** The first value of that key in the RBAC filter of a policy with this rule. */
function inFilter(rule: Rule, key: string): unknown {
  const policy = {
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name: 'one', namespace: 'foo' },
    spec: { rules: [rule] },
  };
  const context = {
    kind: 'http' as const,
    trustDomain: 'cluster.local',
    trustDomainAliases: [],
    rootNamespace: 'root',
  };
  return found(buildRbacFilters([policy], context), key);
}

function found(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  if (!Array.isArray(value) && key in value) return (value as Json)[key];
  for (const item of Object.values(value)) {
    const inside = found(item, key);
    if (inside !== undefined) return inside;
  }
  return undefined;
}

export function headerValue({ input, expected }: Fragment<{ header: string; value: string }>): Outcome {
  const rule = { when: [{ key: `request.headers[${input.header}]`, values: [input.value] }] };
  return { made: inFilter(rule, 'header'), expected };
}

export function hostValue({ input, expected }: Fragment<{ value: string }>): Outcome {
  return { made: inFilter({ to: [{ operation: { hosts: [input.value] } }] }, 'header'), expected };
}

export function pathValue({ input, expected }: Fragment<{ value: string }>): Outcome {
  return { made: inFilter({ to: [{ operation: { paths: [input.value] } }] }, 'urlPath'), expected };
}

export function pathTemplate({ input, expected }: Fragment<string>): Outcome {
  const made = inFilter({ to: [{ operation: { paths: [input] } }] }, 'pathTemplate');
  return { made: { pathTemplate: made }, expected };
}

/** A principal that begins with a wildcard: judged by what its matcher takes. */
export function wildcardPrincipal({ input, expected }: Fragment<{ value: string }>): Outcome {
  const { matches, doesNotMatch } = expected as { matches: string; doesNotMatch: string };
  const matcher = inFilter({ from: [{ source: { principals: [input.value] } }] }, 'principalName') as Json;
  const takes = (text: string) => stringTakes(matcher, text);
  return { made: [takes(matches), takes(doesNotMatch)], expected: [true, false] };
}

function stringTakes({ suffix, safeRegex }: { suffix?: string; safeRegex?: { regex: string } }, text: string): boolean {
  if (suffix !== undefined) return text.endsWith(suffix);
  return safeRegex !== undefined && compileRegex(safeRegex.regex).matches(text);
}
