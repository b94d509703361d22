// The rules of infer.cpp as text. Apart from it, so that printing them needs no Arrow.
#include "data/infer.hpp"

namespace millrace::data {

namespace {

constexpr InferenceRule rules[] = {
    {"task", "a target of true/false, or with two values, is binary; words with more values are multiclass"},
    {"task",
     "a target of numbers is regression when more than half of its values are distinct (and there are more than 10), "
     "when it has fractions and more than 10 values, or when it has more than 50 values; else multiclass"},
    {"task", "rows without a target are kept, and used for prediction only"},
    {"task", "a class with fewer than 5 rows is named"},
    {"positive", "true; of two numbers the larger one"},
    {"positive",
     "of two words the one that says yes (1 true yes y t on positive pos >50k), or that is not the one that says no "
     "(0 false no n f off negative neg <=50k), or that is not the other one with 'not', 'no' or 'non' before it"},
    {"positive", "otherwise the one with fewer rows; of equals, the later in the order of the alphabet"},
    {"key",
     "the first column that numbers the rows (whole numbers, each larger than the one before), that has another value "
     "in "
     "every row and a name like id, or whose every row holds another short word"},
    {"left out", "columns named by 'exclude', or not named by 'inputs' when that is given"},
    {"left out", "empty columns, and columns with one value in all rows"},
    {"left out",
     "columns that name rows: whole numbers, all distinct, that grow from row to row or have a name like id; also a "
     "second key"},
    {"left out",
     "long text: longer than 50 characters on average; and text that is distinct in more than half of the rows (and "
     "has more than 20 values)"},
    {"input",
     "true/false as boolean, numbers as numbers, words as categories, dates and times in parts (year, month, day, "
     "weekday, hour)"},
    {"leak",
     "an input that alone tells the target with an AUC above 0.99 (regression: a rank correlation above 0.99) is "
     "named, "
     "and kept"},
};

}  // namespace

std::span<const InferenceRule> inference_rules() { return rules; }

}  // namespace millrace::data
