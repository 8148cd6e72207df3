/**
 * Which requests are in the audit log: a `Policy` of `audit.k8s.io/v1`
 * (https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/#audit-policy). The first rule that matches decides; a request that
 * no rule matches is left out. Of the levels there are None and Metadata: bodies are never logged.
 */
import { parse } from 'yaml';
import * as z from 'zod';
import { type Attributes, isResource, type ResourceAttributes } from '../access/attributes.ts';
import { CONTROL_GROUP } from '../access/permissions.ts';
import type { AuditStage } from './event.ts';

const STAGES = ['RequestReceived', 'ResponseStarted', 'ResponseComplete', 'Panic'] as const;
const Names = z.array(z.string());
const Stages = z.array(z.enum(STAGES));
const NO_BODIES = 'is not supported: bodies are never logged; write None or Metadata';

const Level = z
  .enum(['None', 'Metadata', 'Request', 'RequestResponse'])
  .refine((level) => !level.startsWith('Request'), {
    error: NO_BODIES,
  });

const GroupResources = z
  .strictObject({
    group: z.string().default(''),
    resources: Names.default([]),
    resourceNames: Names.default([]),
  })
  .refine(({ resources, resourceNames }) => resourceNames.length === 0 || resources.length > 0, {
    path: ['resourceNames'],
    error: 'needs resources',
  })
  .refine(({ group }) => group !== CONTROL_GROUP, {
    path: ['group'],
    error: `${CONTROL_GROUP}: its routes are paths: name them in nonResourceURLs`,
  });

const Rule = z
  .strictObject({
    level: Level,
    users: Names.default([]),
    userGroups: Names.default([]),
    verbs: Names.default([]),
    resources: z.array(GroupResources).default([]),
    namespaces: Names.default([]),
    nonResourceURLs: z
      .array(z.string().regex(/^(\*|\/[^*]*\*?)$/, 'must be *, or begin with / and have a * at the end only'))
      .default([]),
    omitStages: Stages.default([]),
  })
  .refine(
    ({ nonResourceURLs, resources, namespaces }) =>
      nonResourceURLs.length === 0 || (resources.length === 0 && namespaces.length === 0),
    { path: ['nonResourceURLs'], error: 'must not be set beside resources or namespaces' },
  );
type Rule = z.infer<typeof Rule>;

const Policy = z.strictObject({
  apiVersion: z.literal('audit.k8s.io/v1'),
  kind: z.literal('Policy'),
  metadata: z.looseObject({}).optional(),
  omitStages: Stages.default([]),
  rules: z.array(Rule).min(1, 'must not be empty'),
});

/** Who asks for what; of impersonated requests the user that impersonates. */
export interface AuditedRequest {
  readonly user: string;
  readonly groups: readonly string[];
  readonly attributes: Attributes;
}

export interface AuditPolicy {
  /** Whether an event of that stage is logged. */
  logs(request: AuditedRequest, stage: AuditStage): boolean;
}

/** Every request, at level Metadata. */
export const EVERYTHING: AuditPolicy = { logs: () => true };

/** @throws Error in one line, naming the field and the rule */
export function readAuditPolicy(text: string): AuditPolicy {
  let value: unknown;
  try {
    value = parse(text);
  } catch (error) {
    throw new Error(`is not YAML (${(error as Error).message.split('\n')[0]})`);
  }
  const { data, error } = Policy.safeParse(value);
  if (error) {
    const { path, message } = error.issues[0]!;
    throw new Error(`${path.length === 0 ? 'the policy' : pathText(path)}: ${message}`);
  }
  return {
    logs(request, stage) {
      const rule = data.rules.find((each) => matches(each, request));
      if (!rule || rule.level === 'None') return false;
      return !data.omitStages.includes(stage) && !rule.omitStages.includes(stage);
    },
  };
}

const pathText = (path: readonly PropertyKey[]) =>
  path.map((part, i) => (typeof part === 'number' ? `[${part}]` : `${i > 0 ? '.' : ''}${String(part)}`)).join('');

function matches(rule: Rule, { user, groups, attributes }: AuditedRequest): boolean {
  if (rule.users.length > 0 && !rule.users.includes(user)) return false;
  if (rule.userGroups.length > 0 && !rule.userGroups.some((group) => groups.includes(group))) return false;
  if (rule.verbs.length > 0 && !rule.verbs.includes(attributes.verb)) return false;
  if (rule.resources.length > 0 || rule.namespaces.length > 0)
    return isResource(attributes) && matchesResource(rule, attributes);
  if (rule.nonResourceURLs.length === 0) return true;
  return !isResource(attributes) && rule.nonResourceURLs.some((url) => matchesPath(url, attributes.path));
}

function matchesResource({ resources, namespaces }: Rule, attributes: ResourceAttributes): boolean {
  if (namespaces.length > 0 && !namespaces.includes(attributes.namespace)) return false;
  const { group, resource, subresource, name } = attributes;
  const full = subresource === '' ? resource : `${resource}/${subresource}`;
  return (
    resources.length === 0 ||
    resources.some((each) => {
      if (each.group !== group) return false;
      if (each.resources.length === 0) return true;
      if (each.resourceNames.length > 0 && !each.resourceNames.includes(name)) return false;
      return each.resources.some(
        (one) =>
          one === '*' || one === full || one === `${resource}/*` || (subresource !== '' && one === `*/${subresource}`),
      );
    })
  );
}

const matchesPath = (pattern: string, path: string) =>
  pattern.endsWith('*') ? path.startsWith(pattern.slice(0, -1)) : path === pattern;
