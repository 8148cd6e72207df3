/** `tulle explain`: what a kind's fields are, offline, printed as `kubectl explain` prints it. */
import {
  type Description,
  describe,
  type Field,
  fieldsOf,
  inner,
  typeName,
} from '../../shared/resources/describe/description.ts';
import { constraints, documentation } from '../../shared/resources/describe/description-text.ts';
import { describeResource } from '../../shared/resources/describe/resource-description.ts';
import type { Kind } from '../../shared/resources/kind.ts';
import { MeshConfig } from '../../shared/resources/mesh-config/mesh-config.ts';
import { MeshNetworks } from '../../shared/resources/mesh-config/mesh-networks.ts';
import { didYouMean } from '../../shared/resources/read/suggest.ts';
import { kinds, splitApiVersion } from '../../shared/resources/registry.ts';
import { CliError } from './cli-error.ts';

export interface ExplainOptions {
  /** Fields of fields too, without their documentation. */
  recursive?: boolean;
  /** `networking.istio.io/v1beta1`; the preferred version unless given. */
  apiVersion?: string;
}

interface Subject {
  group: string;
  kind: string;
  version: string;
  description: Description;
}

const WIDTH = 76;

/**
 * @param path `virtualservice.spec.http.retries`: a kind by any of its names, then fields; lists and maps are stepped through
 * @returns the text, ending with a line break
 * @throws CliError for an unknown kind or field, with a suggestion
 */
export function explain(path: string, options: ExplainOptions = {}): string {
  const [name = '', ...fields] = path.replace(/\.$/, '').split('.');
  const subject = subjectOf(name, options.apiVersion);
  const found = walk(subject, name, fields);
  const { group, kind, version } = subject;
  const head = [...(group === '' ? [] : [`GROUP:      ${group}`]), `KIND:       ${kind}`, `VERSION:    ${version}`, ''];
  const lines = [...head, ...fieldHead(found, fields.at(-1)), ...documented(found), ...rulesOf(found)];
  const below = fieldsOf(found);
  if (below.length > 0)
    lines.push('FIELDS:', ...(options.recursive ? tree(below, 1) : below.toSorted(byName).flatMap(entry)));
  return `${lines.join('\n')}\n\n`;
}

const byName = (a: Field, b: Field) => (a.name < b.name ? -1 : 1);

/** Kinds by plural, singular, short name or kind name, and the two configs in a ConfigMap. */
function subjectOf(name: string, apiVersion: string | undefined): Subject {
  const wanted = name.toLowerCase();
  const config = CONFIGS.find((each) => each.kind.toLowerCase() === wanted);
  if (config) return { ...config, group: '', description: describe(config.schema) };
  const named = kinds.filter((kind) => namesOf(kind).includes(wanted));
  if (named.length === 0) {
    throw new CliError(
      `unknown kind "${name}"${didYouMean(
        wanted,
        kinds.map((kind) => kind.singular),
      )}: one of ${kinds.map((kind) => kind.singular).join(', ')}`,
    );
  }
  const { group, version } = apiVersion === undefined ? {} : splitApiVersion(apiVersion);
  const kind = named.find((each) => group === undefined || each.group === group);
  const served = version ?? kind?.versions[0];
  if (!kind || served === undefined || !kind.versions.includes(served)) {
    const all = named.flatMap((each) => each.versions.map((each2) => (each.group ? `${each.group}/${each2}` : each2)));
    throw new CliError(`${name} is not served as "${apiVersion}": use ${all.join(', ')}`);
  }
  return { group: kind.group, kind: kind.kind, version: served, description: describeResource(kind, served) };
}

const namesOf = (kind: Kind) => [kind.plural, kind.singular, kind.kind.toLowerCase(), ...kind.shortNames];

const CONFIGS = [
  { kind: 'MeshConfig', version: 'key "mesh" of ConfigMap istio', schema: MeshConfig },
  { kind: 'MeshNetworks', version: 'key "meshNetworks" of ConfigMap istio', schema: MeshNetworks },
] as const;

function walk(subject: Subject, name: string, fields: readonly string[]): Description {
  let here = subject.description;
  for (const [i, step] of fields.entries()) {
    const choices = fieldsOf(here);
    const found = choices.find((field) => field.name === step);
    if (!found) throw new CliError(noField(step, [name, ...fields.slice(0, i)].join('.'), here, choices));
    here = found.description;
  }
  return here;
}

function noField(step: string, parent: string, description: Description, choices: readonly Field[]): string {
  if (choices.length === 0)
    return `field "${step}" does not exist: ${parent} is <${typeName(description)}>, without fields`;
  const names = choices.map(({ name }) => name);
  return `field "${step}" does not exist in ${parent}${didYouMean(step, names)}: one of ${names.toSorted().join(', ')}`;
}

function fieldHead(description: Description, name: string | undefined): string[] {
  if (name === undefined) return [];
  const names = namesIn(description);
  const choice = names.length > 0 ? ['ENUM:', ...names.map((each) => `    ${each}`)] : [''];
  return [`FIELD: ${name} <${typeName(description)}>`, ...choice, ''];
}

function namesIn(description: Description): readonly string[] {
  const { shape } = description;
  return shape.type === 'string' ? shape.names : [];
}

function documented(description: Description): string[] {
  const lines = textsOf(description).flatMap((text) => wrap(text));
  return ['DESCRIPTION:', ...(lines.length > 0 ? lines : ['    <empty>']), '    '];
}

/** Of a list or a map, also the description of its entries. */
function textsOf(description: Description): string[] {
  const { shape } = description;
  const own = documentation(description);
  const below = shape.type === 'list' ? textsOf(shape.items) : shape.type === 'map' ? textsOf(shape.values) : [];
  return [...(own === '' ? [] : [own]), ...below];
}

function rulesOf(description: Description): string[] {
  const rules = constraints(description);
  return rules.length > 0 ? ['RULES:', ...rules.flatMap((rule) => wrap(rule)), ''] : [];
}

function entry({ name, required, description }: Field): string[] {
  const names = namesIn(description);
  return [
    `  ${name}\t<${typeName(description)}>${required ? ' -required-' : ''}`,
    ...(names.length > 0 ? [`  enum: ${names.slice(0, 4).join(', ')}${names.length > 4 ? ', ....' : ''}`] : []),
    ...textsOf(description).flatMap((text) => wrap(text)),
    '',
  ];
}

function tree(fields: readonly Field[], depth: number): string[] {
  const indent = '  '.repeat(depth);
  return fields.toSorted(byName).flatMap(({ name, required, description }) => {
    const names = namesIn(description);
    return [
      `${indent}${name}\t<${typeName(description)}>${required ? ' -required-' : ''}`,
      ...(names.length > 0
        ? [`${indent}enum: ${names.slice(0, 4).join(', ')}${names.length > 4 ? ', ....' : ''}`]
        : []),
      ...tree(fieldsOf(inner(description)), depth + 1),
    ];
  });
}

function wrap(text: string): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].map((each) => `    ${each}`);
}
