// SPDX-License-Identifier: GPL-3.0-or-later
// Keys that stand in files of their own, and what is said of keys.
#include "tests/unit/freed_memory.hpp"
#include "tests/unit/service/manager_fixture.hpp"

namespace mpt::service {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char *kDigits = "00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff";
constexpr const char *kSomeDigits = "445566778899AABB";
constexpr const char *kFile = "/etc/mpt/a.key";

class Keys : public ManagerTest {
protected:
    Keys() { refer_to(kFile); }

    // a.conf names the file or credential.
    void refer_to(const std::string &name)
    {
        std::string &a = directory.files["a.conf"] = connection_file("A", 3, 23456);
        a.replace(a.find("auth_type = 0"), 13, "auth_type = 2\nauth_key_file = " + name);
        directory.keys = {{name, std::string(kDigits) + "\n"}};
    }
    std::string problem()
    {
        notices.clear();
        EXPECT_TRUE(start());
        EXPECT_THAT(manager->connections(), IsEmpty());
        EXPECT_EQ(manager->problems().size(), 1U);
        EXPECT_THAT(notices, Contains(error(manager->problems().front())));
        return manager->problems().front();
    }
};

TEST_F(Keys, AreReadFromWhereTheFileSays)
{
    for (const char *name : {kFile, "a-key"}) {
        refer_to(name);
        ASSERT_TRUE(start());
        EXPECT_THAT(notices, IsEmpty());
        ASSERT_NE(manager->find("A"), nullptr);
        EXPECT_EQ(manager->find("A")->config.key(), kDigits);
        EXPECT_TRUE(manager->find("A")->config.has_key());
    }
}

TEST_F(Keys, SaysWhyThereIsNone)
{
    const std::string at = "connections/a.conf:17: auth_key_file = /etc/mpt/a.key: ";
    directory.keys.clear();
    EXPECT_EQ(problem(), at + "reading /etc/mpt/a.key (mpt genkey /etc/mpt/a.key makes one; the peer needs the same)");
    directory.key_refusal = base::ErrorCode::kNotPermitted;
    EXPECT_EQ(problem(), at + "reading /etc/mpt/a.key (let the user that mptd runs as read it, such as with chgrp mptd "
                              "and chmod g+r)");
    directory.keys[kFile] = std::string(kDigits, 62) + "0";
    const std::string wrong = problem();
    EXPECT_EQ(wrong, at + "it must hold 64 hexadecimal digits and nothing else, as `mpt genkey` makes them");
    refer_to("a-key");
    directory.keys.clear();
    EXPECT_EQ(problem(), "connections/a.conf:17: auth_key_file = a-key: reading a-key (mptd's unit must pass it, see "
                         "CREDENTIALS in mptd(8); then restart mptd)");
}

TEST_F(Keys, WarnsOfAKeyFileThatEverybodyMayRead)
{
    directory.readable_by_all = {"a.conf"};
    ASSERT_TRUE(start());
    EXPECT_THAT(notices, IsEmpty()) << "the key is not in it";
    directory.readable_by_all = {kFile};
    ASSERT_TRUE(start());
    EXPECT_THAT(notices,
                ElementsAre(says("connections/a.conf:17: auth_key_file = /etc/mpt/a.key: every user may read")));
}

TEST_F(Keys, AnotherKeyInTheFileIsAChange)
{
    ASSERT_TRUE(start());
    ASSERT_TRUE(manager->reload("", notices));
    EXPECT_THAT(notices, IsEmpty());
    directory.keys[kFile] = std::string(64, 'b');
    ASSERT_TRUE(manager->reload("", notices));
    EXPECT_THAT(notices, ElementsAre(says("connection A has changed")));
    EXPECT_EQ(manager->find("A")->config.key(), std::string(64, 'b'));
    // One that is no key changes nothing.
    directory.keys[kFile] = "b";
    EXPECT_FALSE(manager->reload("a.conf", notices));
    EXPECT_THAT(notices, Contains(says("its connection goes on as it was")));
    EXPECT_EQ(manager->find("A")->config.key(), std::string(64, 'b'));
}

TEST_F(Keys, ANewCredentialNeedsARestart)
{
    refer_to("a-key");
    ASSERT_TRUE(start());
    EXPECT_THAT(notices, IsEmpty());
    ASSERT_TRUE(manager->reload("", notices));
    EXPECT_THAT(notices,
                ElementsAre(says("connections/a.conf: the key is as the service manager passed it when mptd was "
                                 "started: a new one needs a restart of mptd")));
}

TEST_F(Keys, AreNotSaved)
{
    ASSERT_TRUE(start());
    ASSERT_TRUE(manager->set_weight("A", 0, 77));
    EXPECT_THAT(manager->save("").value(), ElementsAre("a.conf"));
    EXPECT_THAT(directory.files["a.conf"], HasSubstr("auth_key_file = /etc/mpt/a.key\n"));
    EXPECT_THAT(directory.files["a.conf"], HasSubstr("weight_out = 77"));
    EXPECT_THAT(directory.files["a.conf"], Not(HasSubstr("0011")));
    EXPECT_FALSE(manager->find("A")->is_unsaved());
    // A file that is gone is written anew.
    directory.files.clear();
    EXPECT_THAT(manager->save("").value(), ElementsAre("a.conf"));
    EXPECT_THAT(directory.files["a.conf"], HasSubstr("auth_key_file    = /etc/mpt/a.key\n"));
    EXPECT_THAT(directory.files["a.conf"], Not(HasSubstr("0011")));
    notices.clear();
    ASSERT_TRUE(manager->reload("", notices));
    EXPECT_THAT(notices, IsEmpty()) << "it reads as it was";
}

TEST_F(Keys, AreWiped)
{
    // Most keys stand in the connection files themselves.
    directory.files["b.conf"] = connection_file("B", 4, 23457);
    std::string &b = directory.files["b.conf"];
    b.replace(b.find("auth_type = 0"), 13, "auth_type = 2\nauth_key = " + std::string(kDigits));
    directory.files["c.conf"] = b; // which excludes b.conf
    directory.conf_template = "[connection]\nauth_key_file = /etc/mpt/a.key\nauth_type = 7\n";
    b.reserve(2 * b.size()); // or the test's own copy would be given back when it is saved
    const test::FreedMemory freed(kSomeDigits);
    ASSERT_TRUE(start());
    ASSERT_EQ(manager->connections().size(), 2U);
    EXPECT_TRUE(manager->set_weight("B", 0, 77));
    EXPECT_FALSE(manager->reload("", notices));
    EXPECT_FALSE(load_template(directory, manager->interface(), notices));
    EXPECT_THAT(manager->save("").value(), ElementsAre("b.conf"));
    EXPECT_TRUE(manager->remove("a.conf"));
    manager.reset();
    EXPECT_EQ(freed.found(), 0U);
}

} // namespace
} // namespace mpt::service
