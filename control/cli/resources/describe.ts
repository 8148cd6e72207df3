/** `tulle describe`: one resource in full for people, laid out as kubectl lays out custom resources. */
import { escapeLines } from '../../../shared/log/escape.ts';
import type { Kind } from '../../../shared/resources/kind.ts';
import type { Resource } from '../../../shared/resources/resource.ts';
import { notCompiled } from '../../compile/node/not-compiled.ts';
import { CliError } from '../cli-error.ts';
import { type ControlApi, describeStatus } from '../connection.ts';
import { LAST_APPLIED } from './last-applied.ts';
import { resourcePath, selection } from './selection.ts';

export interface DescribeOptions {
  namespace: string;
  allNamespaces: boolean;
  selector?: string;
}

/** @throws CliError for wrong arguments, refusals, and when nothing was found */
export async function describe(api: ControlApi, words: readonly string[], options: DescribeOptions): Promise<void> {
  const texts: string[] = [];
  for (const { kind, name } of selection(words)) {
    const path = resourcePath(kind, options.allNamespaces ? undefined : options.namespace, name);
    const query = options.selector === undefined ? '' : `?labelSelector=${encodeURIComponent(options.selector)}`;
    const answer = await api.request('GET', `${path}${name === undefined ? query : ''}`);
    if (answer.status >= 300) throw new CliError(describeStatus(answer));
    const body = answer.body as Resource & { items?: Resource[] };
    for (const item of body.items ?? [body]) texts.push(description(kind, item));
  }
  if (texts.length === 0) throw new CliError('describe: no resources found');
  process.stdout.write(escapeLines(texts.join('\n\n')));
}

/** The text for one resource. Data of secrets is shown by size only, as kubectl does. */
export function description(kind: Kind, resource: Resource): string {
  const { apiVersion, kind: _kind, metadata, ...body } = resource as Resource & Record<string, unknown>;
  const { name, namespace, labels, annotations, ...more } = metadata as Resource['metadata'] & Record<string, unknown>;
  const { [LAST_APPLIED]: _applied, ...shown } = annotations ?? {};
  const { managedFields: _fields, ...others } = more as Record<string, unknown>;
  const lines = [
    ['Name:', name],
    ...(kind.namespaced ? [['Namespace:', namespace ?? '']] : []),
    ['Labels:', pairs(labels)],
    ['Annotations:', pairs(shown)],
    ['API Version:', apiVersion ?? kind.versions[0] ?? ''],
    ['Kind:', kind.kind],
  ].map(([head, text]) => `${head!.padEnd(14)}${text}`);
  lines.push('Metadata:', ...fields(others, 1));
  for (const [field, value] of Object.entries(kind.kind === 'Secret' ? sizes(body) : body))
    lines.push(...entry(title(field), value, 0));
  const warnings = notCompiled(resource).map(({ path, message }) => `  ${path === '' ? '' : `${path}: `}${message}`);
  if (warnings.length > 0) lines.push('Warnings:', ...warnings);
  return `${lines.join('\n')}\n`;
}

function pairs(map: Readonly<Record<string, string>> | undefined): string {
  const entries = Object.entries(map ?? {});
  return entries.length === 0
    ? '<none>'
    : entries.map(([name, value]) => `${name}=${value}`).join(`\n${' '.repeat(14)}`);
}

function sizes(body: Record<string, unknown>): Record<string, unknown> {
  const data = Object.entries((body['data'] ?? {}) as Record<string, string>);
  const sized = data.map(([name, text]) => [name, `${Buffer.from(text, 'base64').length} bytes`]);
  return { ...body, data: Object.fromEntries(sized) };
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

function fields(value: Record<string, unknown>, depth: number): string[] {
  return Object.keys(value)
    .sort()
    .flatMap((name) => entry(title(name), value[name], depth));
}

function entry(head: string, value: unknown, depth: number): string[] {
  const indent = '  '.repeat(depth);
  if (Array.isArray(value)) return [`${indent}${head}:`, ...value.flatMap((item) => listItem(item, depth + 1))];
  if (isObject(value)) return [`${indent}${head}:`, ...fields(value, depth + 1)];
  return [`${indent}${head}:  ${scalar(value, depth)}`];
}

function listItem(value: unknown, depth: number): string[] {
  if (isObject(value) && !Array.isArray(value)) return fields(value, depth);
  if (Array.isArray(value)) return value.flatMap((item) => listItem(item, depth + 1));
  return [`${'  '.repeat(depth)}${scalar(value, depth)}`];
}

/** Later lines of a text stand below its first. */
function scalar(value: unknown, depth: number): string {
  const lines = String(value).split('\n');
  return lines.length === 1 ? lines[0]! : ['', ...lines].join(`\n${'  '.repeat(depth + 1)}`);
}

/** `trafficPolicy` is `Traffic Policy`. */
function title(field: string): string {
  const spaced = field.replace(/([a-z0-9])([A-Z])/g, '$1 $2');
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}
