/** `tulle validate`: schema and semantic validation, offline. */

import { escapeText } from '../../shared/log/escape.ts';
import type { Violation } from '../../shared/resources/resource.ts';
import { notCompiled } from '../compile/node/not-compiled.ts';
import { colour, type OutputFormat, print, table } from './output.ts';
import { type CheckedDocument, headOf, inspectSources, objectKey, type SourcePaths } from './sources.ts';

interface Source {
  file: string;
  /** Both from 1. */
  line: number;
  column: number;
}

interface Finding {
  path: string;
  message: string;
  rule: string;
  /** Position of the invalid field. */
  source: Source;
}

export interface ValidateReport {
  valid: boolean;
  resources: {
    kind: string;
    namespace: string;
    name: string;
    source: Source;
    violations: Finding[];
    warnings: Finding[];
  }[];
}

/**
 * Validates every document of the paths and prints the report.
 * @returns the exit code: 1 when any resource is invalid
 * @throws CliError when a path cannot be read
 */
export async function runValidate(from: SourcePaths, options: { output: OutputFormat }): Promise<number> {
  const report = await validateSources(from);
  print(options.output, report, () => describe(report));
  return report.valid ? 0 : 1;
}

/** The report alone. Each document is validated separately; a duplicate object gets a warning. */
export async function validateSources(from: SourcePaths): Promise<ValidateReport> {
  const documents = await inspectSources(from);
  const first = new Map<string, CheckedDocument>();
  const resources = documents.map((document) => {
    const warnings = [...document.warnings];
    if (document.kind && document.resource) {
      warnings.push(...notCompiled(document.resource));
      const key = objectKey(document.kind, document.resource);
      const earlier = first.get(key);
      if (earlier) warnings.push(duplicate(earlier));
      else first.set(key, document);
    }
    const { kind = '', metadata = {} } = headOf(document.value);
    return {
      kind,
      namespace: metadata.namespace || (document.kind?.namespaced ? 'default' : ''),
      name: metadata.name ?? '',
      source: { file: document.file, line: document.line, column: document.column },
      violations: document.violations.map((violation) => finding(document, violation)),
      warnings: warnings.map((warning) => finding(document, warning)),
    };
  });
  return { valid: resources.every((resource) => resource.violations.length === 0), resources };
}

function finding(document: CheckedDocument, violation: Violation): Finding {
  const { path, message, rule } = violation;
  const { line, column } = document.positionOf(violation);
  return { path, message, rule, source: { file: document.file, line, column } };
}

function duplicate(earlier: CheckedDocument): Violation {
  return {
    path: '',
    message: `the same object is in ${earlier.file}:${earlier.line} already: the last one wins`,
    rule: 'duplicate-object',
  };
}

function describe(report: ValidateReport): string {
  if (report.resources.length === 0) return 'nothing to validate';
  const rows = report.resources.map(({ kind, namespace, name, source, violations, warnings }) => {
    const warned = warnings.length > 0 ? `, ${count(warnings.length, 'warning')}` : '';
    const state = violations.length > 0 ? `${count(violations.length, 'violation')}${warned}` : `valid${warned}`;
    return [kind || '?', namespace || '-', name || '?', `${source.file}:${source.line}`, state];
  });
  const details = report.resources.flatMap(({ kind, name, violations, warnings }) => {
    const what = kind ? `${kind} ${name}: ` : '';
    const line = (mark: string, { path, message, source: { file, line, column } }: Finding) =>
      `${mark} ${escapeText(`${file}:${line}:${column}: ${what}${path === '' ? '' : `${path}: `}${message}`)}`;
    return [
      ...violations.map((violation) => line(colour.red('violation'), violation)),
      ...warnings.map((warning) => line(colour.yellow('warning'), warning)),
    ];
  });
  const invalid = report.resources.filter((resource) => resource.violations.length > 0).length;
  const summary = report.valid
    ? `${count(report.resources.length, 'resource')}, all valid`
    : `${invalid} of ${count(report.resources.length, 'resource')} invalid`;
  return [
    table(['KIND', 'NAMESPACE', 'NAME', 'SOURCE', 'RESULT'], rows),
    '',
    ...details,
    ...(details.length ? [''] : []),
    summary,
  ].join('\n');
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}
