/** envoy.extensions.filters.http.header_mutation.v3 */
import type { z } from 'zod';
import { HeaderValueOption } from '../core.ts';
import { bool, list, message, string } from '../message.ts';

/** envoy.config.common.mutation_rules.v3.HeaderMutation */
const Mutation = message({ remove: string(), append: HeaderValueOption });
export type Mutation = z.infer<typeof Mutation>;

const Mutations = message({ requestMutations: list(Mutation), responseMutations: list(Mutation) });
export type Mutations = z.infer<typeof Mutations>;

export const HeaderMutation = message({ mutations: Mutations, mostSpecificHeaderMutationsWins: bool() });
export type HeaderMutation = z.infer<typeof HeaderMutation>;

export const HeaderMutationPerRoute = message({ mutations: Mutations });
export type HeaderMutationPerRoute = z.infer<typeof HeaderMutationPerRoute>;
