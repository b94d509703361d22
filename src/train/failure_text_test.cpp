#include "train/failure_text.hpp"

#include <gtest/gtest.h>

namespace millrace::train {
namespace {

TEST(FailureText, ItsPartsAreFoundAgain) {
  const FailureText whole{.what = "it broke", .where = "a.py line 3", .next = "millrace train", .more = "two\nlines"};
  EXPECT_EQ(render(whole), "it broke\nwhere: a.py line 3\nnext: millrace train\ntwo\nlines");
  for (const auto& text : {whole, FailureText{.what = "it broke"}, FailureText{.what = "it broke", .next = "x"},
                           FailureText{.what = "it broke", .where = "y", .more = "z"}, FailureText{}}) {
    EXPECT_EQ(read_failure_text(render(text)), text);
  }
  EXPECT_EQ(read_failure_text("an older\ntext"), (FailureText{.what = "an older", .more = "text"}));
}

TEST(FailureText, CommandsAreReadAsTheTableSays) {
  const std::string raised =
      "begun\nTraceback (most recent call last):\n  File \"/home/ana/my/train.py\", line 7, in <module>\n    main()\n  "
      "  "
      "~~~~^^\n"
      "  File \"/home/ana/my/lib/helper.py\", line 2, in parse\n    return float(x)\n"
      "  File \"/usr/lib/python3/dist-packages/numpy/core.py\", line 900, in float\n    raise\n";
  struct Case {
    std::string printed;
    int status;
    std::string cause, what, where, next;  // next: a part of it
  };
  for (const auto& c : std::vector<Case>{
           {raised + "ValueError: could not convert string to float: 'abc'\n", 1, "code",
            "ValueError: could not convert string to float: 'abc'", "lib/helper.py line 2, in parse",
            "mend lib/helper.py line 2, then: millrace train"},
           {raised + "ValueError: one\n\nDuring handling of the above exception, another exception occurred:\n\n"
                     "Traceback (most recent call last):\n  File \"train.py\", line 9, in <module>\n    "
                     "stop()\nKeyError: 'y'\n",
            1, "code", "KeyError: 'y'", "train.py line 9, in <module>", "mend train.py line 9"},
           {"  File \"/home/ana/my/train.py\", line 2\n    print(\"x\"\n         ^\nSyntaxError: '(' was never "
            "closed\n",
            1, "code", "SyntaxError: '(' was never closed", "train.py line 2", "mend train.py line 2"},
           {"Traceback (most recent call last):\n  File \"/home/ana/my/train.py\", line 2, in <module>\n    import "
            "torch.nn\n"
            "ModuleNotFoundError: No module named 'torch'\n",
            1, "dependency", "ModuleNotFoundError: No module named 'torch'", "train.py line 2, in <module>",
            "python3 -m pip install torch"},
           {raised + "MemoryError\n", 1, "memory", "MemoryError", "lib/helper.py line 2, in parse", ""},
           {raised + "OSError: [Errno 28] No space left on device\n", 1, "disk",
            "OSError: [Errno 28] No space left on device", "lib/helper.py line 2, in parse", ""},
           {"Traceback (most recent call last):\n  File \"<string>\", line 1, in <module>\nZeroDivisionError: division "
            "by zero",
            1, "code", "ZeroDivisionError: division by zero", "<string> line 1, in <module>", ""},
           {"sh: 1: Rscript: not found\n", 127, "dependency",
            "the command needs the program 'Rscript', which is not installed here", "", "install Rscript"},
           {"bash: line 1: julia: command not found\n", 127, "dependency",
            "the command needs the program 'julia', which is not installed here", "", "install julia"},
           {"sh: 1: Rscript: not found\n", 3, "code", "", "", ""},
           {"the lab is out of magnets\n", 3, "code", "", "", ""},
           {"", 1, "code", "", "", ""},
           {"Traceback (most recent call last):\n  File \"cut off", 1, "code", "", "", ""},
       }) {
    const auto fault = read_command_fault(c.printed, c.status, "/home/ana/my");
    EXPECT_EQ(fault.cause, c.cause) << c.printed;
    EXPECT_EQ(fault.text.what, c.what) << c.printed;
    EXPECT_EQ(fault.text.where, c.where) << c.printed;
    EXPECT_NE(fault.text.next.find(c.next), std::string::npos) << c.printed << fault.text.next;
  }
}

}  // namespace
}  // namespace millrace::train
