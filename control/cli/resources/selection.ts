/** What a user selects on the command line: `vs`, `vs,dr`, `vs reviews ratings`, `vs/reviews dr/reviews`. */
import { kinds } from '../../../shared/resources/index.ts';
import { type Kind, kindKey } from '../../../shared/resources/kind.ts';
import { CliError } from '../cli-error.ts';

/** The kind a user means: `vs`, `virtualservice`, `virtualservices`, `VirtualService`, `virtualservices.networking.istio.io`. */
export function kindArgument(word: string): Kind {
  const name = word.toLowerCase();
  const found = kinds.find((kind) => namesOfKind(kind).includes(name));
  if (found) return found;
  throw new CliError(`unknown resource type "${word}": must be one of ${kinds.map((kind) => kind.plural).join(', ')}`);
}

/** All words by which a kind can be selected, in lower case. */
export function namesOfKind(kind: Kind): string[] {
  return [
    kind.plural,
    kind.singular,
    kind.kind.toLowerCase(),
    kindKey(kind.group, kind.plural),
    kindKey(kind.group, kind.singular),
    ...kind.shortNames,
  ];
}

/** REST path of a collection or, with `name`, of one resource. */
export function resourcePath(kind: Kind, namespace: string | undefined, name?: string): string {
  const version = kind.versions[0];
  const root = kind.group === '' ? `/api/${version}` : `/apis/${kind.group}/${version}`;
  const scope = kind.namespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  return `${root}${scope}/${kind.plural}${name === undefined ? '' : `/${encodeURIComponent(name)}`}`;
}

/** One collection, or one resource of it. */
export interface Selected {
  readonly kind: Kind;
  readonly name?: string;
}

/**
 * The arguments of `get`, `describe` and `delete`: types joined by commas, then names; or `type/name` words.
 * @throws CliError for an unknown type, an empty name, or a mixture of the two forms
 */
export function selection(words: readonly string[]): Selected[] {
  const [types = '', ...names] = words;
  if (words.some((word) => word.includes('/'))) return words.map(slashed);
  const selected = types.split(',').map(kindArgument);
  if (names.length === 0) return selected.map((kind) => ({ kind }));
  return selected.flatMap((kind) => names.map((name) => ({ kind, name })));
}

function slashed(word: string): Selected {
  const [type = '', name = '', ...rest] = word.split('/');
  if (type === '' || name === '' || rest.length > 0)
    throw new CliError(`"${word}": must be TYPE/NAME; types and names are not mixed with it`);
  return { kind: kindArgument(type), name };
}

/** `virtualservice.networking.istio.io/reviews`: what `-o name` and the results of writes show. */
export function qualifiedName(kind: Kind, name: string): string {
  return `${kindKey(kind.group, kind.singular)}/${name}`;
}
