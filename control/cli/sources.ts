/** Reading resources from files, folders and standard input, for every command with `-f`. */

import { readdir, readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { escapeLines, escapeText } from '../../shared/log/escape.ts';
import { kinds, splitApiVersion, type Validation, validate } from '../../shared/resources/index.ts';
import type { Kind } from '../../shared/resources/kind.ts';
import {
  locate,
  MAX_TEXT_LENGTH,
  type ParseError,
  type ParseResult,
  type Position,
  parseBytes,
} from '../../shared/resources/read/parse.ts';
import { type FieldValidation, withoutUnknownFields } from '../../shared/resources/read/unknown-fields.ts';
import type { Resource, Violation } from '../../shared/resources/resource.ts';
import { CliError } from './cli-error.ts';

export interface SourceResource {
  kind: Kind;
  resource: Resource;
  /** Where it was read. */
  file: string;
  line: number;
  positionOf: (violation: Violation) => Position;
  /** Warnings of validation. */
  warnings: Violation[];
}

/** One document and its validation result. */
export interface CheckedDocument extends Validation {
  value: unknown;
  file: string;
  line: number;
  column: number;
  /** The position in the file of a violation or warning of this document. */
  positionOf: (violation: Violation) => Position;
  /** A Kubernetes object outside the mesh, such as a Deployment: ignored. */
  foreign: boolean;
}

/** The `-f` arguments of a command. */
export interface SourcePaths {
  /** Files, folders, and `-` for standard input. */
  readonly paths: readonly string[];
  /** Whether folders within folders are read too (`-R`). */
  readonly recursive: boolean;
}

const FILE = /\.(ya?ml|json)$/i;

/**
 * Reads `-f` arguments: files, folders (every *.yaml, *.yml and *.json in it, in order of name) and `-` for standard input.
 * @throws CliError when a path cannot be read
 */
export async function readSources({ paths, recursive }: SourcePaths): Promise<ParseResult> {
  const result: ParseResult = { documents: [], errors: [], invalid: [], unread: [] };
  for (const path of paths) {
    for (const [file, content] of await readPath(path, recursive)) {
      const parsed = parseBytes(content, file);
      for (const document of parsed.documents) result.documents.push(document);
      for (const document of parsed.invalid) result.invalid.push(document);
      result.errors.push(...parsed.errors);
      result.unread.push(...parsed.unread);
    }
  }
  return result;
}

/** Reads and validates; violations are in the result, for `tulle validate`. Unreadable YAML becomes a document with violations. */
export async function inspectSources(
  { paths, recursive }: SourcePaths,
  fields: FieldValidation = 'Strict',
): Promise<CheckedDocument[]> {
  const checked: CheckedDocument[] = [];
  for (const path of paths) {
    for (const [file, content] of await readPath(path, recursive)) {
      for (const document of inspectText(file, content, fields)) checked.push(document);
    }
  }
  return checked;
}

function inspectText(file: string, content: Uint8Array, fields: FieldValidation): CheckedDocument[] {
  const { documents, invalid, unread } = parseBytes(content, file);
  const checked = [...documents, ...invalid].map((document): CheckedDocument => {
    const { value, line, column, errors } = document;
    const foreign = isForeign(value);
    const result = foreign ? { violations: [], warnings: [foreignWarning(value)] } : judge(value, errors, fields);
    const places = new Map<Violation, Position>(errors.map((error) => [error, error]));
    const positionOf = (violation: Violation) =>
      places.get(violation) ?? locate(document, violation.path, violation.rule === 'unknown-field' ? 'key' : 'value');
    return { value, file, line, column, positionOf, foreign, ...result };
  });
  for (const errors of unread) {
    const places = new Map<Violation, ParseError>(errors.map((error) => [error, error]));
    const { line = 1, column = 1 } = errors[0] ?? {};
    const positionOf = (violation: Violation) => places.get(violation) ?? { line, column };
    checked.push({
      value: undefined,
      file,
      line,
      column,
      positionOf,
      foreign: false,
      violations: errors,
      warnings: [],
    });
  }
  return checked.sort((a, b) => a.line - b.line || a.column - b.column);
}

/** Validation under a policy for unknown and duplicate fields: violations, warnings or nothing. */
function judge(value: unknown, errors: readonly Violation[], fields: FieldValidation): Validation {
  const { kind, ...strict } = validate(value);
  if (fields === 'Strict' || !kind)
    return { ...strict, ...(kind ? { kind } : {}), violations: [...errors, ...strict.violations] };
  const known = withoutUnknownFields(kind, value as Record<string, unknown>);
  const result = validate(known.value);
  const dropped = strict.violations.filter((violation) => violation.rule === 'unknown-field');
  const warned = fields === 'Warn' ? [...errors, ...dropped] : [];
  return { ...result, warnings: [...warned, ...result.warnings] };
}

/**
 * Reads and validates; of duplicate objects the last one counts. Kubernetes objects outside the mesh are left
 * out, with a line on stderr; so are unknown fields under the policies Warn and Ignore.
 * @param fields the policy of a write: warnings are printed on stderr, a line each, as kubectl prints them. Without one
 *   unknown fields are violations and no warnings are printed.
 * @throws CliError naming every violation of every resource
 */
export async function checkSources(from: SourcePaths, fields?: FieldValidation): Promise<SourceResource[]> {
  const checked = await inspectSources(from, fields ?? 'Strict');
  const invalid = checked.filter((document) => document.violations.length > 0);
  if (invalid.length > 0) throw new CliError(invalid.flatMap(findingLines).join('\n'));
  const found = new Map<string, SourceResource>();
  for (const document of checked) {
    if (document.foreign) {
      if (isGatewayApi(document.value)) {
        throw new CliError(`${document.file}:${document.line}: ${foreignWarning(document.value).message}`);
      }
      process.stderr.write(
        `${escapeText(`${document.file}:${document.line}: ${foreignWarning(document.value).message}`)}\n`,
      );
    } else if (document.kind && document.resource) {
      const { kind, resource, file, line, positionOf, warnings } = document;
      if (fields !== undefined) process.stderr.write(escapeLines(warningLines(document)));
      const key = objectKey(kind, resource);
      // Deleted first, so that the last object also comes last.
      found.delete(key);
      found.set(key, { kind, resource, file, line, positionOf, warnings });
    }
  }
  return [...found.values()];
}

function warningLines(document: CheckedDocument): string {
  const lines = findingLines({ ...document, violations: document.warnings });
  return lines.map((line) => `Warning: ${line}\n`).join('');
}

export const isNamespace = ({ kind }: SourceResource): boolean => kind.group === '' && kind.kind === 'Namespace';

/** What makes two documents the same object. A resource without namespace is in `default`. */
export function objectKey(kind: Kind, resource: Resource): string {
  const namespace = kind.namespaced ? resource.metadata.namespace || 'default' : '';
  return `${kind.group}/${kind.kind}/${namespace}/${resource.metadata.name}`;
}

/** `shop.yaml:12:5: VirtualService reviews: spec.http[0].route: …`, one line per violation. */
function findingLines(document: CheckedDocument): string[] {
  const { kind, metadata } = headOf(document.value);
  const what = kind ? ` ${kind}${metadata?.name ? ` ${metadata.name}` : ''}:` : '';
  return document.violations.map((violation) => {
    const { line, column } = document.positionOf(violation);
    return `${document.file}:${line}:${column}:${what}${violation.path === '' ? '' : ` ${violation.path}:`} ${violation.message}`;
  });
}

/** Name, namespace and kind as far as a document has them. */
export function headOf(value: unknown): {
  apiVersion?: string;
  kind?: string;
  metadata?: { name?: string; namespace?: string };
} {
  const object = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  const text = (field: unknown) => (typeof field === 'string' ? field : undefined);
  const meta = (
    typeof object['metadata'] === 'object' && object['metadata'] !== null ? object['metadata'] : {}
  ) as Record<string, unknown>;
  return {
    apiVersion: text(object['apiVersion']),
    kind: text(object['kind']),
    metadata: { name: text(meta['name']), namespace: text(meta['namespace']) },
  };
}

/** Kubernetes' own groups have no dot, or end in k8s.io. */
const KUBERNETES_GROUP = /^(apps|batch|autoscaling|policy|extensions|([a-z0-9-]+\.)+k8s\.io)$/;
const CORE_KINDS: ReadonlySet<string> = new Set(
  'Pod,Node,PersistentVolume,PersistentVolumeClaim,ReplicationController,ResourceQuota,LimitRange,Endpoints,PodTemplate,Event'.split(
    ',',
  ),
);

function isForeign(value: unknown): boolean {
  const { apiVersion, kind } = headOf(value);
  if (apiVersion === undefined || kind === undefined || kind === '') return false;
  const { group } = splitApiVersion(apiVersion);
  if (group === '') return CORE_KINDS.has(kind);
  return KUBERNETES_GROUP.test(group) && !kinds.some((each) => each.group === group && each.kind === kind);
}

function isGatewayApi(value: unknown): boolean {
  return headOf(value).apiVersion?.startsWith('gateway.networking.k8s.io/') === true;
}

function foreignWarning(value: unknown): Violation {
  const { apiVersion, kind } = headOf(value);
  const message = isGatewayApi(value)
    ? `${kind} of the Kubernetes Gateway API is not supported yet: use Gateway and VirtualService of networking.istio.io`
    : `${kind} (${apiVersion}) is not a resource of the mesh: not checked, not used`;
  return { path: '', message, rule: 'foreign-kind' };
}

async function readPath(path: string, recursive: boolean): Promise<[file: string, content: Uint8Array][]> {
  if (path === '-') return [['-', await buffer(process.stdin)]];
  try {
    if (!(await stat(path)).isDirectory()) return [[path, await readContent(path)]];
    const entries = await readdir(path, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile() && FILE.test(entry.name));
    const read = recursive ? files : files.filter((entry) => resolve(entry.parentPath) === resolve(path));
    const left = files.length - read.length;
    if (left > 0)
      process.stderr.write(
        `${path}: ${left} ${left === 1 ? 'file' : 'files'} in folders below it not read: -R reads them\n`,
      );
    const names = read.map((entry) => join(entry.parentPath, entry.name)).sort();
    return await Promise.all(names.map(async (name): Promise<[string, Uint8Array]> => [name, await readContent(name)]));
  } catch (error) {
    if (error instanceof CliError) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    const reason =
      code === 'ENOENT' ? 'no such file or folder' : code === 'EACCES' ? 'permission denied' : String(code);
    throw new CliError(`-f ${path}: ${reason}`);
  }
}

async function readContent(file: string): Promise<Uint8Array> {
  // Four bytes a character at most; the parser counts characters.
  if ((await stat(file)).size > MAX_TEXT_LENGTH * 4) throw new CliError(`-f ${file}: the file is too large`);
  return await readFile(file);
}
