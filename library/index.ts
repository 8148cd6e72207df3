/**
 * Tulle as a library: checks Istio's resources and compiles them, as `tulle validate` and `tulle compile` do.
 * Its types name nothing of the packages inside, so that they need nothing else installed.
 */
import * as z from 'zod';
import { compileWithNotes } from '../control/compile/node/node.ts';
import { buildView } from '../control/mesh/build-view.ts';
import { parseDocuments } from '../shared/resources/read/parse.ts';
import { validate } from '../shared/resources/read/validate.ts';
import type { Resource } from '../shared/resources/resource.ts';
import type { Node } from '../shared/xds/core.ts';

z.config({ jitless: true });

/** One rule that a resource breaks, or may break unintendedly. */
export interface Finding {
  /** `spec.http[0].route[1].weight`; empty: the resource as a whole. */
  readonly path: string;
  readonly message: string;
  /** The rule's name, as `unknown-field`. */
  readonly rule: string;
}

export interface Checked {
  /** Why the control API would refuse it. */
  readonly violations: readonly Finding[];
  readonly warnings: readonly Finding[];
}

/** A document of a text, with its position; both from 1. */
export interface CheckedDocument extends Checked {
  readonly value: unknown;
  readonly line: number;
  readonly column: number;
}

/** Checks one resource: schema, and the rules of Istio's webhook. Never throws. */
export function checkResource(resource: unknown): Checked {
  const { violations, warnings } = validate(resource);
  return { violations, warnings };
}

/** Checks every document of a YAML or JSON text. What cannot be read is a document with violations. Never throws. */
export function checkText(text: string): CheckedDocument[] {
  const { documents, invalid, unread } = parseDocuments(text);
  const read = [...documents, ...invalid].map(({ value, line, column, errors }) => {
    const { violations, warnings } = checkResource(value);
    return { value, line, column, violations: [...errors, ...violations].map(finding), warnings };
  });
  const broken = unread.map((errors) => ({
    value: undefined,
    line: errors[0]?.line ?? 1,
    column: errors[0]?.column ?? 1,
    violations: errors.map(finding),
    warnings: [],
  }));
  return [...read, ...broken].sort((a, b) => a.line - b.line || a.column - b.column);
}

const finding = ({ path, message, rule }: Finding): Finding => ({ path, message, rule });

/** The xDS resources that a proxy is sent, in protobuf's JSON form. */
export interface CompiledResources {
  readonly listeners: readonly object[];
  readonly routes: readonly object[];
  readonly clusters: readonly object[];
  readonly endpoints: readonly object[];
  readonly secrets: readonly object[];
  /** Rules and fields that have no effect for this proxy. */
  readonly notes: readonly string[];
}

/**
 * Compiles valid resources for one proxy.
 * @param node an xDS Node: `{ id: 'sidecar~10.0.0.1~reviews-v1.default~default.svc.cluster.local', metadata: {…} }`
 * @throws Error when a resource is invalid, naming every violation, or the node cannot be read
 */
export function compile(resources: readonly object[], node: object): CompiledResources {
  const violations = resources.flatMap((resource, i) =>
    checkResource(resource).violations.map(({ path, message }) => `resources[${i}]: ${path}: ${message}`),
  );
  if (violations.length > 0) throw new Error(violations.join('\n'));
  const { snapshot, notes } = compileWithNotes(buildView(resources as Resource[], 0), node as Node);
  const { listeners, routes, clusters, endpoints, secrets } = snapshot;
  return { listeners, routes, clusters, endpoints, secrets, notes: [...notes] };
}
