// Included once for each kind of processor (trees_kernels.cpp), which defines TREES_TARGET, the attribute of every
// function here, TREES_BYTES, the width of its registers, and TREES_COUNT(thresholds, x): how many of 16 are <= x.

// How many of a column's thresholds are <= x; x is not NaN. Padding is NaN, which nothing is less than or equal to.
TREES_TARGET inline std::size_t rank_of(const TreesForm& form, const TreesColumn& column, float x) {
  const float* pivots = form.pivots.data() + column.pivots;
  std::size_t first = 0;
  if (column.groups > 16) {  // to the 16 pivots that matter
    std::size_t count = (column.groups + 15) / 16;
    while (count > 1) {
      const std::size_t half = count / 2;
      first = pivots[(first + half) * 16 - 1] <= x ? first + half : first;
      count -= half;
    }
    first *= 16;
  }
  const std::size_t group = first + TREES_COUNT(pivots + first, x);
  if (group >= column.groups) return group * 16;
  return group * 16 + TREES_COUNT(form.thresholds.data() + column.thresholds + group * 16, x);
}

TREES_TARGET inline bool is_member(const TreesMembership& question, float x) {
  if (x != x) return question.missing_right;
  if (!(x >= 0 && x < 16'777'216.0f)) return false;
  const auto category = static_cast<std::uint32_t>(x);
  return category / 32 < question.set.size() && (question.set[category / 32] >> (category % 32) & 1) != 0;
}

// A row's ranks of the width of Rank, `stride` apart, stored in wider places where wanted.
template <class Rank, class Place>
TREES_TARGET inline void rank_row(const TreesForm& form, const float* features, Place* ranks, std::size_t stride) {
  constexpr Rank lowest = std::numeric_limits<Rank>::min(), highest = std::numeric_limits<Rank>::max();
  for (const TreesColumn& column : form.columns) {
    const float x = features[column.feature];
    Rank low = lowest, high = highest;
    if (x == x) low = high = static_cast<Rank>(static_cast<std::int64_t>(rank_of(form, column, x)) + lowest);
    if (column.plane[0] >= 0) ranks[static_cast<std::size_t>(column.plane[0]) * stride] = low;
    if (column.plane[1] >= 0) ranks[static_cast<std::size_t>(column.plane[1]) * stride] = high;
  }
  for (const TreesMembership& question : form.memberships)
    ranks[question.plane * stride] = is_member(question, features[question.feature]) ? highest : lowest;
}

// Leaves of `Side` heaps of one depth, or of linked trees, walked side by side: their loads do not wait for each other.
template <std::size_t Side>
TREES_TARGET inline void walk_heaps(const TreesForm& form, const TreesTree* trees, const std::int16_t* ranks,
                                    float* out) {
  std::uint32_t at[Side] = {};
  for (std::size_t step = trees->depth; step > 0; --step) {
#pragma GCC unroll 8
    for (std::size_t i = 0; i < Side; ++i) {
      const TreesNode node = form.heap_nodes[trees[i].nodes + at[i]];
      at[i] = 2 * at[i] + 1 + (ranks[node.plane] > node.rank ? 1 : 0);
    }
  }
  const std::uint32_t bottom = (1u << trees->depth) - 1;
  for (std::size_t i = 0; i < Side; ++i) out[trees[i].output] += form.heap_leaves[trees[i].leaves + at[i] - bottom];
}

template <std::size_t Side>
TREES_TARGET inline void walk_linked(const TreesForm& form, const TreesTree* trees, std::size_t depth,
                                     const std::int16_t* ranks, float* out) {
  std::uint32_t at[Side];
  for (std::size_t i = 0; i < Side; ++i) at[i] = trees[i].nodes;
  for (; depth > 0; --depth) {
#pragma GCC unroll 8
    for (std::size_t i = 0; i < Side; ++i) {
      const TreesNode node = form.linked_nodes[at[i]];
      at[i] = form.linked_left[at[i]] + (ranks[node.plane] > node.rank ? 1 : 0);
    }
  }
  for (std::size_t i = 0; i < Side; ++i) out[trees[i].output] += form.linked_leaves[at[i]];
}

TREES_TARGET void row(const TreesForm& form, const float* features, std::int16_t* ranks, float* out) {
  if (form.wide) {
    rank_row<std::int16_t>(form, features, ranks, 1);
  } else {
    rank_row<std::int8_t>(form, features, ranks, 1);
  }
  std::copy(form.base.begin(), form.base.end(), out);
  const TreesTree* tree = form.trees.data();
  const TreesTree* const end = tree + form.trees.size();
  constexpr std::size_t kSide = 8;
  while (tree < end) {
    // As many of one kind as stand together, at most kSide.
    std::size_t count = 1, depth = tree->depth;
    while (count < kSide && tree + count < end && tree[count].heap == tree->heap &&
           (!tree->heap || tree[count].depth == tree->depth)) {
      depth = std::max<std::size_t>(depth, tree[count].depth);
      ++count;
    }
    if (count == kSide) {
      if (tree->heap) {
        walk_heaps<kSide>(form, tree, ranks, out);
      } else {
        walk_linked<kSide>(form, tree, depth, ranks, out);
      }
    } else {
      for (std::size_t i = 0; i < count; ++i) {
        if (tree->heap) {
          walk_heaps<1>(form, tree + i, ranks, out);
        } else {
          walk_linked<1>(form, tree + i, tree[i].depth, ranks, out);
        }
      }
    }
    tree += count;
  }
}

// A block of rows at once: each node of a heap is compared for all of them, from the bottom up, and hands the number of
// the leaf that its winning side has to its parent.
template <class Rank>
struct Heap {
  typedef Rank Vector __attribute__((vector_size(TREES_BYTES), may_alias));
  static constexpr std::size_t kVectors = kTreesBlock * sizeof(Rank) / TREES_BYTES;
  struct Pack {
    Vector v[kVectors];
  };

  // Right is -1.
  TREES_INLINE static inline Pack compare(TreesNode node, const Rank* planes) {
    const auto* ranks = reinterpret_cast<const Vector*>(planes + std::size_t{node.plane} * kTreesBlock);
    const Vector threshold = Vector{} + static_cast<Rank>(node.rank);
    Pack out;
#pragma GCC unroll 4
    for (std::size_t i = 0; i < kVectors; ++i) out.v[i] = ranks[i] > threshold;
    return out;
  }
  TREES_INLINE static inline Pack select(const Pack& right, const Pack& left_leaf, const Pack& right_leaf) {
    Pack out;
#pragma GCC unroll 4
    for (std::size_t i = 0; i < kVectors; ++i) out.v[i] = right.v[i] ? right_leaf.v[i] : left_leaf.v[i];
    return out;
  }

  // The leaf below node `At` of the subtree whose root is number `q` of level `Level`; leaves count from 0 at the
  // subtree's left.
  template <int Level, int Depth, int J, int P>
  TREES_INLINE static inline Pack leaf(const TreesNode* nodes, std::size_t q, const Rank* planes) {
    const Pack right = compare(nodes[(std::size_t{1} << (Level + J)) - 1 + (q << J) + P], planes);
    if constexpr (J + 1 == Depth) {
      Pack out;
#pragma GCC unroll 4
      for (std::size_t i = 0; i < kVectors; ++i) out.v[i] = (Vector{} + static_cast<Rank>(2 * P)) - right.v[i];
      return out;
    } else {
      return select(right, leaf<Level, Depth, J + 1, 2 * P>(nodes, q, planes),
                    leaf<Level, Depth, J + 1, 2 * P + 1>(nodes, q, planes));
    }
  }

  // Subtrees of four levels, then the levels above them.
  template <int Depth>
  TREES_TARGET static inline void leaves(const TreesNode* nodes, const Rank* planes, Pack& out) {
    constexpr int kBelow = Depth < 4 ? Depth : 4, kLevel = Depth - kBelow;
    Pack found[std::size_t{1} << kLevel];
    for (std::size_t q = 0; q < std::size_t{1} << kLevel; ++q) {
      found[q] = leaf<kLevel, kBelow, 0, 0>(nodes, q, planes);
      const Vector first = Vector{} + static_cast<Rank>(q << kBelow);
#pragma GCC unroll 4
      for (std::size_t i = 0; i < kVectors; ++i) found[q].v[i] += first;
    }
    for (int level = kLevel - 1; level >= 0; --level) {
      const std::size_t count = std::size_t{1} << level;
      for (std::size_t q = 0; q < count; ++q)
        found[q] = select(compare(nodes[count - 1 + q], planes), found[2 * q], found[2 * q + 1]);
    }
    out = found[0];
  }

  TREES_TARGET static inline void add(const TreesForm& form, const TreesTree& tree, const Rank* planes, float* sums) {
    const TreesNode* nodes = form.heap_nodes.data() + tree.nodes;
    const float* values = form.heap_leaves.data() + tree.leaves;
    alignas(64) Pack found;
    switch (tree.depth) {
      case 0:
        for (std::size_t i = 0; i < kTreesBlock; ++i) sums[i] += values[0];
        return;
      case 1:
        leaves<1>(nodes, planes, found);
        break;
      case 2:
        leaves<2>(nodes, planes, found);
        break;
      case 3:
        leaves<3>(nodes, planes, found);
        break;
      case 4:
        leaves<4>(nodes, planes, found);
        break;
      case 5:
        leaves<5>(nodes, planes, found);
        break;
      case 6:
        leaves<6>(nodes, planes, found);
        break;
      case 7:
        leaves<7>(nodes, planes, found);
        break;
      default:
        leaves<8>(nodes, planes, found);
        break;
    }
    using Index = std::make_unsigned_t<Rank>;
    Index index[kTreesBlock];
    std::memcpy(index, &found, sizeof index);
#ifdef TREES_LOOK_UP  // in registers, where there is a way
    if constexpr (sizeof(Rank) == 1) {
      if (tree.depth >= 4 && tree.depth <= 6) return TREES_LOOK_UP(index, values, tree.depth, sums);
    }
#endif
    for (std::size_t i = 0; i < kTreesBlock; ++i) sums[i] += values[index[i]];
  }
};

// Linked trees have no shape to unroll: eight rows are walked side by side.
template <class Rank>
TREES_TARGET inline void add_linked(const TreesForm& form, const TreesTree& tree, const Rank* planes, float* sums) {
  constexpr std::size_t kSide = 8;
  for (std::size_t first = 0; first < kTreesBlock; first += kSide) {
    std::uint32_t at[kSide];
    for (std::size_t i = 0; i < kSide; ++i) at[i] = tree.nodes;
    for (std::size_t step = tree.depth; step > 0; --step) {
#pragma GCC unroll 8
      for (std::size_t i = 0; i < kSide; ++i) {
        const TreesNode node = form.linked_nodes[at[i]];
        at[i] = form.linked_left[at[i]] + (planes[node.plane * kTreesBlock + first + i] > node.rank ? 1 : 0);
      }
    }
    for (std::size_t i = 0; i < kSide; ++i) sums[first + i] += form.linked_leaves[at[i]];
  }
}

template <class Rank>
TREES_TARGET inline void block_of(const TreesForm& form, const float* features, std::size_t rows, Rank* planes,
                                  float* sums, float* out) {
  if (rows < kTreesBlock) std::fill_n(planes, form.planes * kTreesBlock, Rank{});  // rows that are not there: any rank
  for (std::size_t i = 0; i < rows; ++i) rank_row<Rank>(form, features + i * form.features, planes + i, kTreesBlock);
  const std::size_t outputs = form.base.size();
  for (std::size_t k = 0; k < outputs; ++k) std::fill_n(sums + k * kTreesBlock, kTreesBlock, form.base[k]);
  for (const TreesTree& tree : form.trees) {
    float* mine = sums + tree.output * kTreesBlock;
    if (tree.heap) {
      Heap<Rank>::add(form, tree, planes, mine);
    } else {
      add_linked<Rank>(form, tree, planes, mine);
    }
  }
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t k = 0; k < outputs; ++k) out[i * outputs + k] = sums[k * kTreesBlock + i];
  }
}

TREES_TARGET void block(const TreesForm& form, const float* features, std::size_t rows, void* planes, float* sums,
                        float* out) {
  if (form.wide) {
    block_of(form, features, rows, static_cast<std::int16_t*>(planes), sums, out);
  } else {
    block_of(form, features, rows, static_cast<std::int8_t*>(planes), sums, out);
  }
}
