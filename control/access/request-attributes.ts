/** What a request to a path of the Kubernetes API does (https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb). */
import type { Attributes } from './attributes.ts';

const VERBS: Readonly<Record<string, string>> = {
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
  GET: 'get',
  HEAD: 'get',
};

/** Subresources of a namespace itself; what else follows its name is a resource in it. */
const OF_NAMESPACE = new Set(['status', 'finalize']);

/** @param path as in the URL @param query the parameters' first values, as the routes read them */
export function attributesOf(method: string, path: string, query: Pick<URLSearchParams, 'get'>): Attributes {
  const [base, ...parts] = path.split('/').filter(Boolean).map(decoded);
  const group = base === 'apis' ? parts.shift() : '';
  const [version, ...rest] = parts;
  const isApi = (base === 'api' || base === 'apis') && group !== undefined && version !== undefined;
  if (!isApi || rest.length === 0) return { verb: method.toLowerCase(), path };
  const inNamespace = rest[0] === 'namespaces' && rest.length > 2 && !OF_NAMESPACE.has(rest[2]!);
  const [resource = '', name = '', ...sub] = inNamespace ? rest.slice(2) : rest;
  const namespace = rest[0] === 'namespaces' && rest.length > 1 ? rest[1]! : '';
  const verb = verbOf(method, name, query);
  const single = verb === 'list' || verb === 'watch' ? (singleName(query) ?? '') : name;
  return { verb, group, resource, subresource: sub.join('/'), namespace, name: single };
}

function verbOf(method: string, name: string, query: Pick<URLSearchParams, 'get'>): string {
  const verb = VERBS[method] ?? method.toLowerCase();
  if (name !== '') return verb;
  if (verb === 'delete') return 'deletecollection';
  if (verb !== 'get') return verb;
  return ['true', '1'].includes(query.get('watch') ?? 'false') ? 'watch' : 'list';
}

/** A list of one object by its name is authorized as that object; not other verbs, whose object may be another. */
function singleName(query: Pick<URLSearchParams, 'get'>): string | undefined {
  return /^metadata\.name==?([^,=!]+)$/.exec(query.get('fieldSelector') ?? '')?.[1];
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
